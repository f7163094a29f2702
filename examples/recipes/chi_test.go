package recipes_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/middleware"
)

func TestChi(t *testing.T) { check(t, recipes.Chi) }

// chain is a middleware as chi has them.
type chain = func(http.Handler) http.Handler

// bothSides runs a test with other middleware outside and inside of the
// Handler.
func bothSides(t *testing.T, other chain, test func(*testing.T, func(*middleware.Authenticator) chi.Router)) {
	t.Run("outside", func(t *testing.T) {
		test(t, func(auth *middleware.Authenticator) chi.Router { return chi.NewRouter().With(other, auth.Handler) })
	})
	t.Run("inside", func(t *testing.T) {
		test(t, func(auth *middleware.Authenticator) chi.Router { return chi.NewRouter().With(auth.Handler, other) })
	})
}

// quiet has Recoverer say nothing.
type quiet struct{ chimiddleware.LogEntry }

func (quiet) Panic(any, []byte) {}

func recoverer(next http.Handler) http.Handler {
	recovering := chimiddleware.Recoverer(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recovering.ServeHTTP(w, chimiddleware.WithLogEntry(r, quiet{}))
	})
}

// B52
func TestChiRecovererAnswersAPanicAfterARefreshWithTheCookies(t *testing.T) {
	bothSides(t, recoverer, func(t *testing.T, router func(*middleware.Authenticator) chi.Router) {
		w := start(t)
		r := router(w.auth)
		r.Get("/", func(_ http.ResponseWriter, r *http.Request) {
			w.refresh(r)
			panic("after the refresh")
		})
		w.browse(r).want("/", http.StatusInternalServerError, "")
	})
}

func TestChiWrapResponseWriterSeesTheStatusAndKeepsTheCookies(t *testing.T) {
	seen := make(chan int, 1)
	logger := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ww := chimiddleware.NewWrapResponseWriter(w, r.ProtoMajor)
			next.ServeHTTP(ww, r)
			seen <- ww.Status()
		})
	}
	bothSides(t, logger, func(t *testing.T, router func(*middleware.Authenticator) chi.Router) {
		w := start(t)
		r := router(w.auth)
		r.Get("/", func(rw http.ResponseWriter, r *http.Request) {
			w.refresh(r)
			rw.WriteHeader(http.StatusTeapot)
		})
		r.Get("/ws", serveEcho)
		b := w.browse(r)
		b.want("/", http.StatusTeapot, "")
		if status := <-seen; status != http.StatusTeapot {
			t.Errorf("the logger saw %d", status)
		}
		b.echoes("/ws", nil)
		<-seen
	})
}

func TestChiCompressAndTimeoutAreFineOnBothSides(t *testing.T) {
	for name, other := range map[string]chain{
		"compress": chimiddleware.Compress(5),
		"timeout":  chimiddleware.Timeout(1 << 40),
		"head":     chimiddleware.GetHead,
		"throttle": chimiddleware.Throttle(100),
	} {
		t.Run(name, func(t *testing.T) {
			bothSides(t, other, func(t *testing.T, router func(*middleware.Authenticator) chi.Router) {
				check(t, func(auth *middleware.Authenticator, api *client.Client) http.Handler {
					r := router(auth)
					r.Mount("/", recipes.NetHTTP(auth, api))
					return withoutHandler(auth, r)
				})
			})
		})
	}
}

// withoutHandler serves the Authenticator's own routes outside of its Handler.
func withoutHandler(auth *middleware.Authenticator, pages http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /auth/refresh", auth.RefreshHandler())
	mux.Handle("GET /auth/rebearer.js", auth.ScriptHandler())
	mux.Handle("POST /logout", auth.LogoutHandler())
	mux.Handle("/", pages)
	return mux
}

func TestChiAnswersAnUnknownPathToAnybody(t *testing.T) {
	w := start(t)
	rec := httptest.NewRecorder()
	recipes.Chi(w.auth, w.rest).ServeHTTP(rec, httptest.NewRequest("GET", "/nothing", nil))
	if rec.Code != http.StatusNotFound {
		t.Error(rec.Code)
	}
}
