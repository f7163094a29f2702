package browser

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// site is a BFF as the browser sees it.
type site struct {
	URL  string
	door *door
}

// open puts a door in front of a BFF, through which all requests come.
func open(t *testing.T, h http.Handler) *site {
	t.Helper()
	d := &door{next: h}
	return &site{serve(t, d), d}
}

// want fails unless these are the statuses of the visits so far.
func (s *site) want(t *testing.T, what string, statuses ...int) {
	t.Helper()
	var got []int
	for _, v := range s.door.visits(what) {
		got = append(got, v.status)
	}
	if !slices.Equal(got, statuses) {
		t.Errorf("%s: answered with %v, want %v", what, got, statuses)
	}
}

// door writes down who came in.
type door struct {
	next  http.Handler
	lossy atomic.Bool // answers lose their cookies on the way back

	mu   sync.Mutex
	seen []visit
}

// visit is a request and its answer.
type visit struct {
	what    string // method and path, such as "GET /boundary"
	status  int
	cookies []string // Set-Cookie lines
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.next.ServeHTTP(&answer{w, d, r, false}, r)
}

// visits returns those of one kind so far, in the order of their answers.
func (d *door) visits(what string) (all []visit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range d.seen {
		if v.what == what {
			all = append(all, v)
		}
	}
	return all
}

// forget begins a new list.
func (d *door) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = nil
}

// answer notes a visit when its header goes out, before the browser can know of
// it.
type answer struct {
	http.ResponseWriter
	door  *door
	to    *http.Request
	begun bool
}

func (a *answer) WriteHeader(status int) {
	if !a.begun && status >= 200 {
		a.begun = true
		a.door.mu.Lock()
		a.door.seen = append(a.door.seen, visit{a.to.Method + " " + a.to.URL.Path, status, a.Header()["Set-Cookie"]})
		a.door.mu.Unlock()
		if a.door.lossy.Load() {
			a.Header().Del("Set-Cookie")
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
