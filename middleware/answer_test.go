package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
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

// B52, B60: where a writer cannot flush or be hijacked, nothing has gone out. The
// error is answered, with the cookies that there are by then.
func TestAWriterThatCannotHasSentNothing(t *testing.T) {
	for name, try := range map[string]func(*http.ResponseController) error{
		"flush":  (*http.ResponseController).Flush,
		"hijack": func(c *http.ResponseController) error { _, _, err := c.Hijack(); return err },
	} {
		for _, place := range places {
			w := start(t, place(t, &tokencache.MemoryStore{}))
			h := w.auth.Handler(w.auth.Boundary(func(rw http.ResponseWriter, r *http.Request) error {
				w.late(r)
				if err := try(http.NewResponseController(rw)); !errors.Is(err, http.ErrNotSupported) {
					t.Errorf("%s: %v", name, err)
				}
				w.late(r)
				return io.ErrUnexpectedEOF
			}))
			mux := http.NewServeMux()
			mux.Handle("/login", w.rooms(&ledger{}))
			mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) { h.ServeHTTP(struct{ http.ResponseWriter }{rw}, r) })
			b := w.serve(mux).browser()
			must(t, b.do("POST", "/login", "user=ada", fetching), 200, "")
			must(t, b.fetch("/"), 500, "Internal Server Error")
			w.presentations(2)
			must(t, b.fetch("/"), 500, "Internal Server Error") // and so has the session gone on
			w.presentations(4)
		}
	}
}

// B60: what is flushed in vain for another reason has gone out, and whoever has
// the connection still has it when it is asked for once more.
func TestAnErrorAfterTheHeaderIsNotAnsweredTwice(t *testing.T) {
	w := start(t)
	broken := errors.New("the connection is broken")
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", "access="+w.as.SignIn("ada").Access())
	w.auth.Handler(w.auth.Boundary(func(rw http.ResponseWriter, r *http.Request) error {
		return http.NewResponseController(rw).Flush()
	})).ServeHTTP(flushing{rec, broken}, r)
	if rec.Code != 200 || rec.Body.Len() > 0 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	b := w.serve(w.auth.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		conn, buf, _ := http.NewResponseController(rw).Hijack()
		defer conn.Close()
		if _, _, err := http.NewResponseController(rw).Hijack(); err == nil {
			t.Error("it was given away twice")
		}
		rw.Header().Add("Set-Cookie", "refresh=theirs")
		buf.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\n")
		rw.Header().Write(buf)
		buf.WriteString("\r\n")
		buf.Flush()
	}))).browser()
	b.signedIn("ada")
	if a := b.fetch("/"); len(a.Cookies()) > 0 {
		t.Errorf("somebody else's: %v", a.Cookies())
	}
}

// flushing fails to, when the header has gone out.
type flushing struct {
	*httptest.ResponseRecorder
	err error
}

func (f flushing) FlushError() error { f.WriteHeader(200); return f.err }

// Without scripts a page leads on by GET. So it does not lead to where only a form
// can be sent.
func TestNoPageLeadsToWhatTakesOnlyForms(t *testing.T) {
	w := start(t)
	mux := http.NewServeMux()
	mux.Handle("/auth/refresh", w.auth.RefreshHandler())
	mux.Handle("POST /save", w.auth.Boundary(func(_ http.ResponseWriter, r *http.Request) error {
		if r.FormValue("what") == "" {
			return tokencache.ErrUnauthorized
		}
		return io.ErrUnexpectedEOF
	}))
	b := w.serve(mux).browser()
	b.signedIn("ada")
	must(t, b.do("POST", "/save", "", navigating), 401, `name="next" value="/"`)
	if a := b.do("POST", "/save", "what=all", navigating); a.StatusCode != 500 || strings.Contains(a.body, "href") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	w.as.FailNext(10, authtest.Answer(503, nil, ""))
	for next, want := range map[string]string{"/items?a=b": "/items?a=b", "//evil.test": "/"} {
		must(t, b.do("POST", "/auth/refresh", "next="+url.QueryEscape(next), navigating), 503, `<a href="`+want+`">Try again`)
	}
}

// T-I2: what is wrong with the configuration is told in the log, and what others
// have written of it to nobody else. No answer quotes what a handler adds.
func TestTheCauseOfAMisconfigurationIsForTheLog(t *testing.T) {
	inside := errors.New("vault://db.internal.example/path: permission denied")
	for _, row := range []struct {
		err          error
		page, logged string
	}{
		{&tokencache.Error{Reason: reason.Configuration, Err: inside}, "its log says how", inside.Error()},
		{&tokencache.Error{Reason: reason.ClientRefused, Status: 401, Err: inside}, "(client_refused)", "status 401"},
		{tokencache.ErrReentrant, "its log says how", "called through the Transport"},
	} {
		var log bytes.Buffer
		w := start(t, with(func(a *middleware.Authenticator) { a.Log = slog.New(slog.NewTextHandler(&log, nil)) }))
		b := w.pages(w.auth.Boundary(func(http.ResponseWriter, *http.Request) error {
			return fmt.Errorf("GET https://api.internal.example/?key=secret: %w", row.err)
		})).browser()
		b.signedIn("ada")
		for _, a := range []answer{b.visit("/"), b.fetch("/")} {
			must(t, a, 500, row.page)
			if strings.Contains(a.body, "internal.example") {
				t.Errorf("it quotes: %s", a.body)
			}
		}
		if !strings.Contains(log.String(), row.logged) || strings.Contains(log.String(), "secret") {
			t.Errorf("the log has %s", &log)
		}
	}
}

// B43: who has left has left, whatever cause his context was given.
func TestWhoHasLeftIsNotAnsweredForABrokenServer(t *testing.T) {
	draining := errors.New("draining")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(draining)
	a := keeping(new(binding), nil)
	rec := httptest.NewRecorder()
	a.Error(rec, httptest.NewRequestWithContext(ctx, "GET", "/", nil), &url.Error{Op: "Get", URL: "https://api.test/", Err: draining})
	if rec.Code != 503 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
