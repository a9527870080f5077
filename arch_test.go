package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gpupeft/gpupeft/"

// mayImport is the order of the packages: each may import those listed and what
// lies below itself; a package that has a line of its own isn't below another. Test files and the rest of internal/, which only tests use, are free.
var mayImport = map[string][]string{
	"internal/disk": {},

	"shaders":     {},
	"tensor":      {},
	"gpu":         {"shaders", "tensor"},
	"transformer": {"tensor"},
	"peft":        {"internal/disk", "tensor", "transformer"},
	"interp":      {"tensor", "transformer"},

	// Toys are trained with the one and looked into with the other.
	"interp/circuits": {"tensor", "transformer", "peft", "interp"},

	"cli": {"internal/disk", "gpu", "tensor", "transformer", "peft", "interp", "interp/circuits"},
	"":    {"cli"}, // main.go
}

// only says which packages alone may import a module.
var only = map[string][]string{
	"github.com/cogentcore/webgpu":  {"gpu"},
	"github.com/sugarme/tokenizer":  {"transformer/tokenizer/sugarme"},
	"github.com/urfave/cli":         {"cli"},
	"github.com/mattn/go-isatty":    {"cli"},
	"github.com/dlclark/regexp2":    {"transformer/tokenizer"},
	"github.com/bits-and-blooms":    {"interp"},
	"github.com/xrash/smetrics":     {"interp"},
	"golang.org/x/text":             {"transformer/tokenizer"},
	"golang.org/x/image":            {"peft/results", "interp/view"},
	"google.golang.org/protobuf":    {"transformer/tokenizer"},
	"gonum.org/v1/gonum":            {"peft", "interp"},
	"github.com/goccy/go-yaml":      {"peft/experiment", "cli"},
	"pgregory.net/rapid":            {}, // tests alone
	"github.com/cogentcore/webgpu/": {"gpu"},
}

// eachFile parses the Go files of the module that aren't tests.
func eachFile(t *testing.T, f func(dir string, fset *token.FileSet, file *ast.File)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		base := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (base == "testdata" || base == "out" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(base) != ".go" || strings.HasSuffix(base, "_test.go"):
			return nil
		}
		n++
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return err
		}
		f(path.Dir(filepath.ToSlash(name)), fset, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 50 {
		t.Fatalf("only %d files found", n)
	}
}

// place is the line of mayImport that a package has.
func place(dir string) string {
	if _, own := mayImport[dir]; own {
		return dir
	}
	top, _, _ := strings.Cut(dir, "/")
	return top
}

// TestPackageOrder keeps imports one-way.
func TestPackageOrder(t *testing.T) {
	eachFile(t, func(dir string, fset *token.FileSet, file *ast.File) {
		top := place(strings.TrimPrefix(dir, "."))
		if top == "internal" {
			return
		}
		for _, spec := range file.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			where := fset.Position(spec.Pos())
			if rest, ok := strings.CutPrefix(imported, module); ok {
				to := place(rest)
				allowed, known := mayImport[top]
				if !known {
					t.Errorf("%v: package %s has no place in the order", where, dir)
				} else if to != top && !slices.Contains(allowed, to) {
					t.Errorf("%v: %s must not import %s", where, top, to)
				}
			}
			for prefix, owners := range only {
				if strings.HasPrefix(imported, prefix) && !slices.Contains(owners, dir) {
					t.Errorf("%v: only %s may import %s", where, strings.Join(owners, " and "), prefix)
				}
			}
		}
	})
}

// TestLibraryManners: the library never prints, exits, panics on its own account
// or reads the environment; only cli and main.go may. The interpreter of templates gives
// up from deep inside by a panic that its two entry points recover, as text/template does.
func TestLibraryManners(t *testing.T) {
	forbidden := map[string][]string{
		"fmt": {"Print", "Printf", "Println"},
		"log": {"Print", "Printf", "Println", "Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"},
		"os":  {"Exit", "Getenv", "LookupEnv", "Stdout", "Stderr", "Stdin", "Getwd", "UserHomeDir"},
	}
	eachFile(t, func(dir string, fset *token.FileSet, file *ast.File) {
		top := place(dir)
		if top == "." || top == "cli" || top == "internal" {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && slices.Contains(forbidden[x.Name], n.Sel.Name) {
					t.Errorf("%v: %s.%s in the library", fset.Position(n.Pos()), x.Name, n.Sel.Name)
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "panic" && dir != "transformer/internal/jinja" {
					t.Errorf("%v: panic in the library", fset.Position(n.Pos()))
				}
			}
			return true
		})
	})
}

// TestExportedNamesAreDocumented: every exported name has a doc comment.
func TestExportedNamesAreDocumented(t *testing.T) {
	eachFile(t, func(dir string, fset *token.FileSet, file *ast.File) {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && exportedReceiver(d) && d.Doc == nil {
					t.Errorf("%v: %s has no comment", fset.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil {
						t.Errorf("%v: %s has no comment", fset.Position(ts.Pos()), ts.Name.Name)
					}
				}
			}
		}
	})
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	x := d.Recv.List[0].Type
	for {
		switch e := x.(type) {
		case *ast.StarExpr:
			x = e.X
		case *ast.IndexExpr:
			x = e.X
		case *ast.Ident:
			return e.IsExported()
		default:
			return false
		}
	}
}

// TestEveryPackageHasDoc: each package says what it is for.
func TestEveryPackageHasDoc(t *testing.T) {
	seen, documented := map[string]bool{}, map[string]bool{}
	eachFile(t, func(dir string, _ *token.FileSet, file *ast.File) {
		seen[dir] = true
		if file.Doc != nil {
			documented[dir] = true
		}
	})
	for dir := range seen {
		if !documented[dir] {
			t.Errorf("package %s has no comment", dir)
		}
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
}
