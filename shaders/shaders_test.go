package shaders

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

func names(t *testing.T) []string {
	t.Helper()
	paths, err := fs.Glob(files, "*.wgsl")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files embedded: %v", err)
	}
	for i, p := range paths {
		paths[i] = strings.TrimSuffix(p, ".wgsl")
	}
	return paths
}

// header returns the leading comment lines without their slashes, and the rest.
func header(text string) (comment []string, body string) {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		after, ok := strings.CutPrefix(l, "//")
		if !ok {
			return comment, strings.Join(lines[i:], "\n")
		}
		comment = append(comment, strings.TrimSpace(after))
	}
	return comment, ""
}

func TestHeaders(t *testing.T) {
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			text, err := Source(name)
			if err != nil {
				t.Fatal(err)
			}
			comment, body := header(text)
			if len(comment) == 0 || !strings.HasSuffix(comment[0], ".") {
				t.Fatal("the file must begin with a comment: one sentence that ends in a full stop")
			}
			at := 1
			for _, h := range []string{"Formula:", "Shapes:", "Bindings:", "Grid:", "Consts:"} {
				for at < len(comment) && !strings.HasPrefix(comment[at], h) {
					at++
				}
				if at == len(comment) {
					t.Fatalf("heading %q is missing or out of order", h)
				}
				if strings.TrimSpace(strings.TrimPrefix(comment[at], h)) == "" {
					t.Errorf("heading %q has no text beside it", h)
				}
			}
			checkConsts(t, strings.Join(comment[at:], " "), body)
		})
	}
}

// checkConsts demands that upper-case names which the body uses and doesn't declare
// are listed under Consts.
func checkConsts(t *testing.T, listed, body string) {
	t.Helper()
	body = regexp.MustCompile(`//.*`).ReplaceAllString(body, "")
	for _, c := range regexp.MustCompile(`\b[A-Z][A-Z0-9_]+\b`).FindAllString(body, -1) {
		declared := strings.Contains(body, "const "+c+":") || strings.Contains(body, "const "+c+" ")
		if !declared && !regexp.MustCompile(`\b`+c+`\b`).MatchString(listed) {
			t.Errorf("%s is neither declared nor listed under Consts", c)
		}
	}
}

func TestSourceOfUnknownFile(t *testing.T) {
	if _, err := Source("no_such_file"); err == nil || !strings.Contains(err.Error(), "no_such_file") {
		t.Fatalf("error %v, want one that names the file", err)
	}
}
