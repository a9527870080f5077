package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

func (p *program) versionCommand() *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "print the version",
		UsageText: "gpupeft version [--json]",
		Flags:     []cli.Flag{jsonFlag("print one JSON object")},
		Action:    p.version,
	}
}

// build says what the program was made from.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"` // the working tree had changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
	GPU      bool   `json:"gpu"` // built with GPU support
}

func (p *program) version(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	b := thisBuild()
	if c.Bool("json") {
		return writeJSON(p.out, b)
	}
	revision := ""
	if b.Revision != "" {
		revision = " (" + b.Revision
		if b.Modified {
			revision += ", modified"
		}
		revision += ")"
	}
	_, err := fmt.Fprintf(p.out, "gpupeft %s%s %s %s\n", b.Version, revision, b.Go, b.Platform)
	return err
}

func thisBuild() build {
	b := build{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	without := false
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "CGO_ENABLED":
			b.GPU = s.Value == "1"
		case "-tags":
			without = slices.Contains(strings.Split(s.Value, ","), "nogpu")
		case "vcs.revision":
			b.Revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	b.GPU = b.GPU && !without
	return b
}
