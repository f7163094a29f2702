// Package docs holds no code. Its tests read the documents: each block of Go
// compiles, what is quoted from a file stands there, what a newcomer is told to
// type works and prints what is said, and links lead somewhere.
//
// A comment on the line above a block says what it is, where that is not plain:
//
//	<!-- file: main.go -->     the newcomer saves it under that name
//	<!-- run -->               the newcomer types it
//	<!-- run: background -->   and leaves it running
//	<!-- prints -->            what the last one prints
//	<!-- from: path/of.go -->  it stands in that file, line by line
//
// Any other block of Go is a program, or a piece of one: declarations, or
// statements that use the names of given.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// block is a fenced block of a document.
type block struct {
	file       string // from the root
	line       int    // of its first line
	language   string
	mark, what string // of the comment above
	text       string
}

var mark = regexp.MustCompile(`^<!-- (\w+)(?:: (\S+))? -->$`)

// documents returns the names of the documents, from the root.
func documents(t *testing.T) (names []string) {
	t.Helper()
	for _, pattern := range []string{"README*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		for _, path := range found {
			name, _ := filepath.Rel(root, path)
			names = append(names, filepath.ToSlash(name))
		}
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// blocks returns those of a document, in their order.
func blocks(t *testing.T, name string) (all []block) {
	t.Helper()
	var in *block
	above := ""
	for i, line := range strings.Split(read(t, name), "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case in != nil && isFence:
			all = append(all, *in)
			in = nil
		case in != nil:
			in.text += line + "\n"
		case isFence:
			in = &block{file: name, line: i + 2, language: fence}
			if m := mark.FindStringSubmatch(above); m != nil {
				in.mark, in.what = m[1], m[2]
			}
		}
		above = line
	}
	if in != nil {
		t.Errorf("%s:%d: the block does not end", name, in.line)
	}
	return all
}

func TestEachMarkIsKnown(t *testing.T) {
	for _, name := range documents(t) {
		for _, b := range blocks(t, name) {
			switch b.mark + " " + b.language {
			case " go", "file go", "from go", "run sh", "prints text":
			case " sh": // what is typed by nobody is checked by nobody
				t.Errorf("%s:%d: a block of sh that is not run", b.file, b.line)
			default:
				if b.mark != "" {
					t.Errorf("%s:%d: a block of %s is not %q", b.file, b.line, b.language, b.mark)
				}
			}
		}
	}
}

// What is quoted from a file stands there.
func TestQuotesAreVerbatim(t *testing.T) {
	for _, name := range documents(t) {
		for _, b := range blocks(t, name) {
			if b.mark != "from" {
				continue
			}
			content, err := os.ReadFile(filepath.Join(root, b.what))
			if err != nil || b.text == "" || !strings.Contains("\n"+string(content), "\n"+b.text) {
				t.Errorf("%s:%d: this does not stand in %s: %v", b.file, b.line, b.what, err)
			}
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// A link within the repository leads to a file, and to a heading where it names one.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, name := range documents(t) {
		for i, line := range strings.Split(read(t, name), "\n") {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				to, heading, _ := strings.Cut(m[1], "#")
				if strings.Contains(to, "://") {
					continue
				}
				path := name
				if to != "" {
					path = filepath.Join(filepath.Dir(name), to)
				}
				if _, err := os.Stat(filepath.Join(root, path)); err != nil {
					t.Errorf("%s:%d: %v", name, i+1, err)
				} else if heading != "" && !headings(read(t, path))[heading] {
					t.Errorf("%s:%d: %s has no heading #%s", name, i+1, path, heading)
				}
			}
		}
	}
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// headings returns the anchors of a document, as GitHub makes them.
func headings(document string) map[string]bool {
	all := map[string]bool{}
	for line := range strings.SplitSeq(document, "\n") {
		if strings.HasPrefix(line, "#") {
			title := strings.TrimSpace(strings.TrimLeft(line, "#"))
			all[strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(title), ""), " ", "-")] = true
		}
	}
	return all
}
