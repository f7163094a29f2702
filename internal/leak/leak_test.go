package leak_test

import (
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/leak"
)

// B29
func TestAGoroutineThatStaysIsFound(t *testing.T) {
	stop := make(chan struct{})
	go func() { <-stop }()
	if left := leak.Wait(0); len(left) != 1 {
		t.Errorf("%d goroutines found, want 1: %v", len(left), left)
	}
	close(stop)
	if left := leak.Wait(2 * time.Second); len(left) != 0 {
		t.Errorf("found although it has ended: %v", left)
	}
}
