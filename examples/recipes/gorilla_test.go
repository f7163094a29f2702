package recipes_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/mux"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/middleware"
)

func TestGorilla(t *testing.T) { check(t, recipes.Gorilla) }

func TestGorillaSubroutersMayNameTheHandlerTwice(t *testing.T) {
	check(t, func(auth *middleware.Authenticator, api *client.Client) http.Handler {
		r := mux.NewRouter()
		outer := r.NewRoute().Subrouter()
		outer.Use(auth.Handler)
		inner := outer.NewRoute().Subrouter()
		inner.Use(auth.Handler)
		inner.PathPrefix("/").Handler(recipes.NetHTTP(auth, api))
		return withoutHandler(auth, r)
	})
}

func TestGorillaSubroutersBelowAPrefixKeepTheWholePathForNext(t *testing.T) {
	w := start(t)
	r := mux.NewRouter()
	pages := r.PathPrefix("/app").Subrouter()
	pages.Use(func(next http.Handler) http.Handler { return http.StripPrefix("/app", w.auth.Handler(next)) })
	pages.HandleFunc("/{page}", func(http.ResponseWriter, *http.Request) { t.Error("served to nobody") })
	req := httptest.NewRequest("GET", "/app/me?a=1", nil)
	req.Header = navigating.Clone()
	rec := httptest.NewRecorder()
	r.ServeHTTP(rec, req)
	if to := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || to != "/login?next=%2Fapp%2Fme%3Fa%3D1" {
		t.Errorf("%d to %q", rec.Code, to)
	}
}

func TestGorillaAnswersAnUnknownPathOrMethodToAnybody(t *testing.T) {
	w := start(t)
	for target, want := range map[string]int{"/nothing": http.StatusNotFound, "/me": http.StatusMethodNotAllowed} {
		rec := httptest.NewRecorder()
		recipes.Gorilla(w.auth, w.rest).ServeHTTP(rec, httptest.NewRequest("PUT", target, nil))
		if rec.Code != want {
			t.Errorf("PUT %s: %d, want %d", target, rec.Code, want)
		}
	}
}
