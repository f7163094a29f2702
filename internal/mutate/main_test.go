package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever changes a line of defence has to say what takes it away now.
func TestEveryMutationApplies(t *testing.T) {
	for _, m := range all {
		src, err := os.ReadFile(filepath.Join("..", "..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(src), m.old); n != 1 || m.old == m.new {
			t.Errorf("%s: %q occurs %d times in %s", m.behaviours, m.old, n, m.file)
		}
	}
}
