// Command mutate takes each line of defence away in turn, and checks that a
// test notices: a test that cannot fail proves nothing.
//
//	go run ./internal/mutate            # all, a table on standard output
//	go run ./internal/mutate B14 T-A4   # those of some behaviours
//	go run ./internal/mutate transport  # those that the tests of a package notice
//
// The tree stays as it is: the changed file is laid over it (go help build,
// -overlay). It exits with 1 if a mutation survives, or does not apply any more.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// mutation is one line of defence that is taken away.
type mutation struct {
	behaviours string // that are lost with it, separated by spaces
	file       string // from the top of the module
	old, new   string // old must occur exactly once
	pkg        string // whose tests must notice; if empty, that of the file
	run        string // which of them, as go test -run; if empty, all
}

var all = slices.Concat(mutations, middlewareMutations, replicaMutations, resourceMutations, observeMutations)

func main() {
	top, err := moduleTop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	survived := 0
	for _, m := range all {
		if len(os.Args) > 1 && !slices.ContainsFunc(os.Args[1:], func(b string) bool {
			return slices.Contains(strings.Fields(m.behaviours), b) || m.tests() == b || m.file == b
		}) {
			continue
		}
		began := time.Now()
		verdict := m.try(top)
		if verdict != "noticed" {
			survived++
		}
		fmt.Printf("%-14s %-34s %-9s %5.1fs  %s\n", m.behaviours, m.file, verdict, time.Since(began).Seconds(), oneLine(m.old))
	}
	if survived > 0 {
		fmt.Printf("\n%d mutations were not noticed or did not apply\n", survived)
		os.Exit(1)
	}
	fmt.Println("\nevery mutation was noticed")
}

// try runs the tests without the defence.
func (m mutation) try(top string) string {
	path := filepath.Join(top, m.file)
	src, err := os.ReadFile(path)
	if err != nil || strings.Count(string(src), m.old) != 1 {
		return "STALE"
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(dir)
	changed := filepath.Join(dir, "changed.go")
	overlay := filepath.Join(dir, "overlay.json")
	lay, _ := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err := os.WriteFile(changed, []byte(strings.Replace(string(src), m.old, m.new, 1)), 0o600); err != nil {
		return err.Error()
	}
	if err := os.WriteFile(overlay, lay, 0o600); err != nil {
		return err.Error()
	}
	args := []string{"test", "-count=1", "-vet=off", "-timeout=60s", "-overlay", overlay}
	if m.run != "" {
		args = append(args, "-run", m.run)
	}
	cmd := exec.Command("go", append(args, "./"+m.tests())...)
	cmd.Dir = top
	out, err := cmd.CombinedOutput()
	switch {
	case strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "[setup failed]"):
		return "BUILD"
	case strings.Contains(string(out), "no tests to run"):
		return "NO TEST"
	case err != nil:
		return "noticed"
	}
	return "SURVIVED"
}

// tests returns the folder of the tests that must notice.
func (m mutation) tests() string {
	if m.pkg != "" {
		return m.pkg
	}
	return filepath.Dir(m.file)
}

func moduleTop() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	return strings.TrimSpace(string(out)), err
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return s[:min(len(s), 60)]
}
