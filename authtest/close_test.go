package authtest_test

import (
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
)

// Close ends what hangs, what drips, and what nobody reads.
func TestCloseLeavesNoGoroutine(t *testing.T) {
	for _, wire := range []authtest.Wire{authtest.Plain, authtest.TLS, authtest.HTTP2} {
		before := goroutines()
		as := authtest.NewAS(authtest.ASConfig{Wire: wire})
		api := as.NewAPI()
		var running atomic.Int64
		arrived := make(chan bool)
		signal := func(f authtest.Fault) authtest.Fault {
			return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				running.Add(1)
				defer running.Add(-1)
				arrived <- true
				f(w, r, next)
			}
		}
		var wg sync.WaitGroup
		closed := make(chan bool)
		gate := authtest.NewGate()
		for _, f := range []authtest.Fault{
			authtest.Hang, authtest.After(authtest.Hang), authtest.Drip(time.Hour), authtest.Huge, gate.Hold,
		} {
			as.FailNext(1, signal(f))
			wg.Go(func() {
				resp, err := as.Transport().RoundTrip(styles[0].new(t.Context(), as, as.SignIn("alice").Refresh()))
				if err == nil {
					<-closed
					resp.Body.Close() // unread so far
				}
			})
			<-arrived
		}
		api.Intercept(signal(authtest.Hang))
		wg.Go(func() { do(api.Transport(), newRequest(t.Context(), "POST", api.URL+"/echo", "body")) })
		<-arrived
		as.Close()
		api.Close()
		equal(t, "handlers that run", running.Load(), 0)
		close(closed)
		wg.Wait()
		settle(t, before)
	}
}

// goroutines returns how many there are of HTTP.
func goroutines() int {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	n := 0
	for _, g := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(g, "net/http") || strings.Contains(g, "authtest.") {
			n++
		}
	}
	return n
}

// settle waits until there are no more goroutines than before: those of the
// client notice a closed connection on their own.
func settle(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); goroutines() > before; runtime.Gosched() {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("left over:\n%s", buf[:runtime.Stack(buf, true)])
		}
	}
}
