package authtest

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"time"
)

// Fault stands in for an endpoint. The form or the body of the request has been
// read, so that the context of the request ends when the client leaves; it also
// ends with Close.
//
// A Fault acts instead of the endpoint: unless it calls next, nothing happens,
// and a refresh token stays good. What calls next can act on both sides of it,
// such as waiting. See also [After].
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// After returns a Fault that lets the endpoint do its work first: f runs when
// the refresh token is spent, and its next writes the real answer. An answer
// that is lost after rotation is After(Cut).
func After(f Fault) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		f(w, r, record(next, r))
	}
}

// recorded is an answer, to be written later.
type recorded struct{ *httptest.ResponseRecorder }

func record(h http.Handler, r *http.Request) recorded {
	rec := recorded{httptest.NewRecorder()}
	h.ServeHTTP(rec, r)
	return rec
}

func (rec recorded) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	rec.writeHeader(w)
	w.Write(rec.Body.Bytes())
}

func (rec recorded) writeHeader(w http.ResponseWriter) {
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
}

// Cut closes the connection without an answer.
func Cut(http.ResponseWriter, *http.Request, http.Handler) {
	panic(http.ErrAbortHandler)
}

// Hang does not answer until the client leaves or the server is closed.
func Hang(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// Drip sends the header of the real answer at once, and its body one byte every
// so often.
func Drip(every time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := record(next, r)
		rec.writeHeader(w)
		rc := http.NewResponseController(w)
		for _, b := range rec.Body.Bytes() {
			rc.Flush()
			if !wait(r, every) {
				panic(http.ErrAbortHandler)
			}
			w.Write([]byte{b})
		}
	}
}

// Truncate sends the real answer, but only the first half of its body, and ends
// as if that were all.
func Truncate(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := record(next, r)
	rec.writeHeader(w)
	w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
}

// CutBody sends the real answer, but closes the connection after the first half
// of its body.
func CutBody(w http.ResponseWriter, r *http.Request, next http.Handler) {
	Truncate(w, r, next)
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// Gate is a Fault that holds requests until it is opened. Its zero value is
// useless; use [NewGate].
type Gate struct {
	arrived chan struct{}
	open    chan struct{}
}

// NewGate returns a closed Gate.
func NewGate() *Gate {
	return &Gate{make(chan struct{}, 1<<16), make(chan struct{})}
}

// Hold is the [Fault]. It holds requests before anything happens;
// After(gate.Hold) holds their answers.
func (g *Gate) Hold(w http.ResponseWriter, r *http.Request, next http.Handler) {
	select {
	case g.arrived <- struct{}{}:
	default:
	}
	select {
	case <-g.open:
		next.ServeHTTP(w, r)
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// Arrived receives once for every request that is or was held, up to 65536 that
// nobody received.
func (g *Gate) Arrived() <-chan struct{} { return g.arrived }

// Open lets all requests pass, from now on. It must be called only once.
func (g *Gate) Open() { close(g.open) }

// Fail makes every refresh fail from now on, in both styles, and forgets what
// FailNext said. Nil ends all faults.
func (as *AS) Fail(f Fault) {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.refreshing = faults{always: f}
}

// FailNext makes the next n refreshes fail, after those of earlier calls. Then
// the Fault of Fail holds again, if there is one.
func (as *AS) FailNext(n int, f Fault) {
	as.mu.Lock()
	defer as.mu.Unlock()
	for range n {
		as.refreshing.queue = append(as.refreshing.queue, f)
	}
}

// FailRevoke makes every request to RevokeURL and LogoutURL fail from now on.
// Nil ends that.
func (as *AS) FailRevoke(f Fault) {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.revoking = faults{always: f}
}

// faults says which Fault comes next.
type faults struct {
	queue  []Fault
	always Fault
}

func (f *faults) next() Fault {
	if len(f.queue) == 0 {
		return f.always
	}
	first := f.queue[0]
	f.queue = f.queue[1:]
	return first
}

// serve runs the endpoint, or its fault.
func (f Fault) serve(w http.ResponseWriter, r *http.Request, endpoint http.Handler) {
	if f == nil {
		endpoint.ServeHTTP(w, r)
		return
	}
	f(w, r, endpoint)
}

// wait waits for d, and reports whether the request is still there.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return r.Context().Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// drain reads what is left of a body of reasonable size. Only after that does
// net/http notice a client that leaves.
func drain(r *http.Request) { io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20)) }
