package middleware_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/rebearer/rebearer/tokencache"
)

// What a handler has said of the body that it had in mind is not said of the
// answer to its error, which would not arrive, or not as what it is.
func TestAnAnswerOfOursIsNotDescribedByTheHandler(t *testing.T) {
	described := map[string]string{"Content-Length": "4", "Content-Encoding": "gzip", "Content-Disposition": "attachment; filename=export.csv",
		"Content-Range": "bytes 0-3/9", "Accept-Ranges": "bytes", "Trailer": "Digest"}
	for name, err := range map[string]error{
		"an end": tokencache.ErrLoginRequired, "a 401": tokencache.ErrUnauthorized, "a step-up": &tokencache.StepUpError{MaxAge: -1}, "an error": io.ErrUnexpectedEOF,
	} {
		for kind, h := range map[string]http.Header{"a fetch": fetching, "a page": navigating} {
			w := start(t)
			b := w.pages(w.auth.Boundary(func(rw http.ResponseWriter, r *http.Request) error {
				rw.Header().Set("Content-Type", "text/csv")
				for name, value := range described {
					rw.Header().Set(name, value)
				}
				return err
			})).browser()
			b.signedIn("ada")
			a, err := b.try("GET", "/", "", h)
			if err != nil || a.StatusCode != 303 && len(a.body) < 20 {
				t.Errorf("%s of %s: %v %q", name, kind, err, a.body)
				continue
			}
			for name, value := range described {
				if a.Header.Get(name) == value || len(a.Trailer) > 0 {
					t.Errorf("%s of %s: %v", name, kind, a.Header)
				}
			}
		}
	}
}
