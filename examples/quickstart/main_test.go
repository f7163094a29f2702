package main

import "testing"

// What the program checks of itself is its test.
func TestQuickstart(t *testing.T) {
	if err := run(); err != nil {
		t.Error(err)
	}
}
