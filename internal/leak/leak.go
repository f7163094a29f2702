// Package leak fails a test binary if goroutines of ours outlive its tests.
package leak

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long a goroutine may take to end after the tests have.
const patience = 2 * time.Second

// Main runs the tests, and then fails if goroutines of this module or of
// net/http are left. It is what a TestMain calls:
//
//	func TestMain(m *testing.M) { leak.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := Wait(patience); len(left) > 0 {
			fmt.Fprintf(os.Stderr, "FAIL: %d goroutines outlive the tests:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// Wait returns the stacks of our goroutines that are left after d at most.
func Wait(d time.Duration) []string {
	http.DefaultClient.CloseIdleConnections()
	for end := time.Now().Add(d); ; time.Sleep(10 * time.Millisecond) {
		left := ours()
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}

// ours returns the stacks of all goroutines but the calling one in which this
// module or net/http occurs, be it as what created them.
func ours() []string {
	buf := make([]byte, 1<<20)
	for n := runtime.Stack(buf, true); ; n = runtime.Stack(buf, true) {
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	var left []string
	for _, stack := range strings.Split(string(buf), "\n\n")[1:] { // the first is the caller
		if strings.Contains(stack, "github.com/rebearer/rebearer") || strings.Contains(stack, "net/http.") {
			left = append(left, strings.TrimSpace(stack))
		}
	}
	return left
}
