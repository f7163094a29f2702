// Package rules holds no code. Its tests keep the shape of the module: who may
// import whom, how many names there are, how long a file may be.
package rules

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/rebearer/rebearer"

type pkg struct {
	ImportPath string
	Dir        string
	Standard   bool
	Imports    []string
	GoFiles    []string
}

// list runs go list on this module.
func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Standard,Imports,GoFiles"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		switch err := dec.Decode(&p); {
		case err == io.EOF:
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// may lists what of this module a folder may import, by prefix. The arrows
// point one way: examples, then client and middleware, transport, tokencache,
// internal.
var may = map[string][]string{
	"tokencache":                {"tokencache/reason", "tokencache/event", "internal"},
	"tokencache/reason":         {},
	"tokencache/event":          {"tokencache/reason"},
	"tokencache/storetest":      {"tokencache"},
	"tokencache/redisstore":     {"tokencache"},
	"transport":                 {"tokencache", "internal"},
	"transport/clientassertion": {"internal"},
	"transport/dpop":            {"internal"},
	"client":                    {"transport", "tokencache"},
	"middleware":                {"tokencache", "internal"},
	"authtest":                  {"tokencache", "internal"},
	"telemetry":                 {"tokencache"},
	"internal":                  {"internal"},
	"internal/shared":           {"tokencache/event"},
	"internal/doctor":           {"transport", "tokencache", "internal"},
	"cmd":                       {"internal"},
	"examples":                  {""},
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		allowed, ok := may[name]
		for folder := name; !ok && folder != "."; {
			folder = filepath.Dir(folder)
			allowed, ok = may[folder]
		}
		if !ok {
			t.Errorf("%s has no rule", name)
		}
		for _, path := range p.Imports {
			rest, ours := strings.CutPrefix(path, module+"/")
			if ours && !slices.ContainsFunc(allowed, func(a string) bool { return a == "" || rest == a || strings.HasPrefix(rest, a+"/") }) {
				t.Errorf("%s imports %s", name, rest)
			}
		}
	}
}

// Whoever wants only the RoundTripper compiles neither resty nor a JWT library
// nor a Redis client.
func TestTransportAloneNeedsOnlySync(t *testing.T) {
	for _, p := range list(t, "-deps", "./transport") {
		if !p.Standard && !strings.HasPrefix(p.ImportPath, module) && !strings.HasPrefix(p.ImportPath, "golang.org/x/sync/") {
			t.Errorf("transport needs %s", p.ImportPath)
		}
	}
}

func TestEachDependencyIsImportedByOnePackage(t *testing.T) {
	importers := map[string][]string{}
	for _, p := range list(t, "./...") {
		for _, path := range p.Imports {
			if strings.Contains(strings.Split(path, "/")[0], ".") && !strings.HasPrefix(path, module) {
				importers[path] = append(importers[path], p.ImportPath)
			}
		}
	}
	for path, by := range importers {
		if len(by) > 1 {
			t.Errorf("%s is imported by %v", path, by)
		}
	}
	if len(importers) == 0 {
		t.Error("no dependency was seen at all")
	}
}

const (
	maxExported = 45 // over the packages that a program imports
	maxLines    = 350
	maxFunction = 60
)

func TestTheIndexIsShort(t *testing.T) {
	var names []string
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if !slices.Contains([]string{"tokencache", "transport", "client", "middleware"}, name) {
			continue
		}
		for _, f := range p.GoFiles {
			for _, n := range exported(parse(t, filepath.Join(p.Dir, f))) {
				names = append(names, name+"."+n)
			}
		}
	}
	if len(names) > maxExported {
		t.Errorf("%d exported names, more than %d: %v", len(names), maxExported, names)
	}
	if len(names) < 10 {
		t.Errorf("only %d exported names were seen", len(names))
	}
}

// generated are the folders of code that nobody writes or reads: what the tools of two
// recipes make, whose versions their go:generate lines pin.
var generated = []string{"../../examples/recipes/oapi", "../../examples/recipes/ogen"}

func TestFilesAndFunctionsAreShort(t *testing.T) {
	files := 0
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil || ast.IsGenerated(f) && slices.Contains(generated, filepath.ToSlash(filepath.Dir(path))) {
			return err
		}
		if n := fset.Position(f.End()).Line; n > maxLines {
			t.Errorf("%s has %d lines", path, n)
		}
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; n > maxFunction {
					t.Errorf("%s: %s has %d lines", path, fn.Name.Name, n)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Errorf("only %d files were seen", files)
	}
}

func parse(t *testing.T, path string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// exported returns the exported top-level names of a file, without methods.
func exported(f *ast.File) (names []string) {
	add := func(n *ast.Ident) {
		if n.IsExported() {
			names = append(names, n.Name)
		}
	}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				add(d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					add(s.Name)
				case *ast.ValueSpec:
					for _, n := range s.Names {
						add(n)
					}
				}
			}
		}
	}
	return names
}

// The program in the README is one that compiles.
func TestTheProgramInTheREADME(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("../../examples/first/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```go\n"+string(program)+"```\n") {
		t.Error("the first program in README.md differs from examples/first/main.go")
	}
	if n := strings.Count(string(readme), "\n"); n > 200 {
		t.Errorf("README.md has %d lines", n)
	}
}
