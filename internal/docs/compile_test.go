package docs

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/rebearer/rebearer"

// given are the names that a piece of a program may use without declaring them.
const given = `
	as, endpoint *transport.TokenEndpoint
	auth         *middleware.Authenticator
	coordinator  *tokencache.Coordinator
	cache        *tokencache.Cache
	store        tokencache.Store
	token, shown tokencache.Token
	api          *client.Client
	mux          *http.ServeMux
	pages        http.Handler
	server       *http.Server
	ctx          context.Context
	w            http.ResponseWriter
	r            *http.Request
	issuer, clientID, secret string
`

// known are the packages that a piece may use without importing them.
var known = []string{
	"context", "encoding/base64", "errors", "fmt", "io", "log", "log/slog", "net/http", "net/http/httptest", "net/url", "os", "strings", "sync", "testing", "time",
	module + "/authtest", module + "/client", module + "/middleware", module + "/telemetry", module + "/tokencache", module + "/tokencache/event",
	module + "/tokencache/reason", module + "/tokencache/redisstore", module + "/transport", module + "/transport/clientassertion", module + "/transport/dpop",
	"github.com/go-resty/resty/v2", "github.com/redis/go-redis/v9",
}

// nameOf is the name of a package.
func nameOf(importPath string) string {
	name := path.Base(importPath)
	if len(name) > 1 && name[0] == 'v' && name[1] >= '0' && name[1] <= '9' {
		name = path.Base(path.Dir(importPath))
	}
	return strings.TrimPrefix(name, "go-")
}

// unit is what is compiled together: a program of one or more blocks, or a piece.
type unit struct {
	at    string
	piece bool
	files []*ast.File
}

func imports(text string) string {
	var b strings.Builder
	for _, importPath := range known {
		if regexp.MustCompile(`\b` + nameOf(importPath) + `\.`).MatchString(text) {
			fmt.Fprintf(&b, "import %s %q; ", nameOf(importPath), importPath)
		}
	}
	return b.String()
}

// parse reads a block as a file, as declarations, or as statements.
func parse(fset *token.FileSet, b block) (f *ast.File, piece bool, err error) {
	try := func(before, after string) (*ast.File, error) {
		line := fmt.Sprintf("%s\n//line %s:%d\n", before, b.file, b.line)
		return parser.ParseFile(fset, "", line+b.text+after, parser.SkipObjectResolution)
	}
	if strings.HasPrefix(b.text, "package ") {
		f, err = try("", "")
		return f, false, err
	}
	head := "package piece; " + imports(b.text)
	if f, err = try(head, ""); err == nil {
		return f, true, nil
	}
	f, err = try(head+"func _() error {", "panic(0) }")
	return f, true, err
}

// units returns what there is to compile in all documents.
func units(t *testing.T, fset *token.FileSet) (all []*unit) {
	t.Helper()
	for _, name := range documents(t) {
		var program *unit
		for _, b := range blocks(t, name) {
			if b.language != "go" || b.mark == "from" { // that is compiled where it stands
				continue
			}
			f, piece, err := parse(fset, b)
			if err != nil {
				t.Error(err)
				continue
			}
			if b.mark == "file" && program != nil {
				program.files = append(program.files, f)
				continue
			}
			u := &unit{fmt.Sprintf("%s:%d", b.file, b.line), piece, []*ast.File{f}}
			if piece {
				names := "package piece; " + imports(given) + "var (" + given + ")"
				f, err := parser.ParseFile(fset, "given", names, 0)
				if err != nil {
					t.Fatal(err)
				}
				u.files = append(u.files, f)
			}
			if b.mark == "file" {
				program = u
			}
			all = append(all, u)
		}
	}
	return all
}

// compiled returns an importer of what the units import, all of which go list
// has compiled.
func compiled(t *testing.T, fset *token.FileSet, all []*unit) types.Importer {
	t.Helper()
	wanted := map[string]bool{}
	for _, u := range all {
		for _, f := range u.files {
			for _, i := range f.Imports {
				importPath, _ := strconv.Unquote(i.Path.Value)
				wanted[importPath] = true
			}
		}
	}
	args := append([]string{"list", "-e", "-export", "-deps", "-json=ImportPath,Export"}, slices.Sorted(maps.Keys(wanted))...)
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	return importer.ForCompiler(fset, "gc", func(importPath string) (io.ReadCloser, error) {
		if exports[importPath] == "" {
			return nil, fmt.Errorf("this module has no %s: quote a file of examples/recipes", importPath)
		}
		return os.Open(exports[importPath])
	})
}

// The Korean README has the programs of the English one, but for their comments.
func TestTheREADMEsHaveTheSameCode(t *testing.T) {
	code := func(name string) (all []string) {
		for _, b := range blocks(t, name) {
			if b.language == "go" {
				all = append(all, tokens(b.text))
			}
		}
		return all
	}
	if english, korean := code("README.md"), code("README.ko.md"); len(english) == 0 || !slices.Equal(english, korean) {
		t.Error("README.ko.md is not that of README.md any more")
	}
}

// tokens is a text without its comments and spaces.
func tokens(text string) string {
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile("", -1, len(text)), []byte(text), nil, 0)
	var b strings.Builder
	for {
		_, kind, literal := s.Scan()
		if kind == token.EOF {
			return b.String()
		}
		fmt.Fprintln(&b, kind, literal)
	}
}

func TestEachBlockOfGoCompiles(t *testing.T) {
	fset := token.NewFileSet()
	all := units(t, fset)
	from := compiled(t, fset, all)
	for _, u := range all {
		config := types.Config{Importer: from, Error: func(err error) {
			var e types.Error
			if errors.As(err, &e) && u.piece && (e.Soft || strings.HasSuffix(e.Msg, "is not used")) {
				return // what a piece does not use is for its reader
			}
			t.Error(err)
		}}
		config.Check(u.at, fset, u.files, nil)
	}
	if len(all) < 10 {
		t.Errorf("only %d programs and pieces were seen", len(all))
	}
}
