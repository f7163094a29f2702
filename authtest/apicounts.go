package authtest

import (
	"maps"
	"net/http"
)

// Tally counts requests to an [API].
type Tally struct {
	// Requests is how many arrived.
	Requests int
	// OK is how many were answered with 2xx.
	OK int
	// Unauthorized is how many were answered with 401.
	Unauthorized int
}

// APICounts are what an [API] has seen since it was started or
// [API.ResetCounts] was called. Their maps belong to the caller.
type APICounts struct {
	// Tally is the sum.
	Tally
	// Mixed is how many had a UserHeader that is not the subject of their
	// access token, good or not.
	Mixed int
	// Subjects is how many were let in, by the subject of the token.
	Subjects map[string]int
	// Paths are the tallies by path.
	Paths map[string]Tally
}

func newAPICounts() APICounts {
	return APICounts{Subjects: map[string]int{}, Paths: map[string]Tally{}}
}

// Counts returns the counts so far.
func (api *API) Counts() APICounts {
	api.mu.Lock()
	defer api.mu.Unlock()
	c := api.counts
	c.Subjects, c.Paths = maps.Clone(c.Subjects), maps.Clone(c.Paths)
	return c
}

// ResetCounts sets all counts to zero, and Spread begins anew.
func (api *API) ResetCounts() {
	api.mu.Lock()
	defer api.mu.Unlock()
	api.counts, api.refused = newAPICounts(), 0
}

// arrive counts a request and returns its fault.
func (api *API) arrive(r *http.Request) Fault {
	api.mu.Lock()
	defer api.mu.Unlock()
	api.tally(r.URL.Path, func(t *Tally) { t.Requests++ })
	return api.intercept
}

// tally applies add to the sum and to the path. It is called with the lock.
func (api *API) tally(path string, add func(*Tally)) {
	add(&api.counts.Tally)
	p := api.counts.Paths[path]
	add(&p)
	api.counts.Paths[path] = p
}

// counted counts an answer before the client can see it.
type counted struct {
	http.ResponseWriter
	api  *API
	path string
	done bool
}

func (w *counted) count(status int) {
	if w.done || status < 200 {
		return
	}
	w.done = true
	w.api.mu.Lock()
	defer w.api.mu.Unlock()
	w.api.tally(w.path, func(t *Tally) {
		switch {
		case status == http.StatusUnauthorized:
			t.Unauthorized++
		case status < 300:
			t.OK++
		}
	})
}

func (w *counted) WriteHeader(status int) {
	w.count(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *counted) Write(p []byte) (int, error) {
	w.count(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// Flush is here for handlers that ask for an http.Flusher.
func (w *counted) Flush() {
	w.count(http.StatusOK)
	http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *counted) Unwrap() http.ResponseWriter { return w.ResponseWriter }
