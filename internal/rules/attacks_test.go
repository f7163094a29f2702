package rules

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each test that docs/attacks.md names is there, in the folder that stands before
// its name, and each attack that a test names by its number has a row.
func TestThePageOfTheAttacks(t *testing.T) {
	page, err := os.ReadFile("../../docs/attacks.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z/]+)\\.((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(page), -1)
	if len(named) < 150 {
		t.Errorf("only %d tests are named", len(named))
	}
	rows := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-L]\d+(?:, [A-L]\d+)*) \|`).FindAllStringSubmatch(string(page), -1) {
		for id := range strings.SplitSeq(row[1], ", ") {
			rows["T-"+id] = true
		}
	}
	tests, attacks := inTests(t)
	for _, n := range named {
		if !tests[n[1]+"."+n[2]] {
			t.Errorf("there is no %s in %s", n[2], n[1])
		}
	}
	for id, path := range attacks {
		if !rows[id] {
			t.Errorf("%s is in %s, and has no row", id, path)
		}
	}
}

// inTests returns the tests of all modules by folder and name, and the attacks
// that they name, with a file that does so.
func inTests(t *testing.T) (tests map[string]bool, attacks map[string]string) {
	tests, attacks = map[string]bool{}, map[string]string{}
	function, attack := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`), regexp.MustCompile(`\bT-[A-L]\d+\b`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, _ := filepath.Rel("../..", filepath.Dir(path))
		for _, f := range function.FindAllSubmatch(source, -1) {
			tests[filepath.ToSlash(folder)+"."+string(f[1])] = true
		}
		for _, id := range attack.FindAll(source, -1) {
			attacks[string(id)] = path
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests, attacks
}
