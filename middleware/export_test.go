package middleware

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rebearer/rebearer/tokencache"
)

// WriterAllocs returns what wrapping a response and writing it allocates beside
// what the writer underneath does.
func WriterAllocs(t *testing.T) float64 {
	a := &Authenticator{Coordinator: &tokencache.Coordinator{}}
	if err := a.Validate(); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	cache := tokencache.New(a.Coordinator, tokencache.Token{})
	out := &discard{http.Header{}}
	return testing.AllocsPerRun(1000, func() {
		var w http.ResponseWriter = &session{w: out, auth: a, request: r, cache: cache}
		w.WriteHeader(http.StatusOK)
		w.Write(nil)
	})
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
