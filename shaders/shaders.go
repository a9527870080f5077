package shaders

import (
	"embed"
	"fmt"
)

//go:embed *.wgsl
var files embed.FS

// Source returns the text of the file name.wgsl.
func Source(name string) (string, error) {
	text, err := files.ReadFile(name + ".wgsl")
	if err != nil {
		return "", fmt.Errorf("shader %q: %w", name, err)
	}
	return string(text), nil
}
