package recipes

import (
	"net/http"

	"github.com/gorilla/mux"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
)

// Gorilla puts what needs a session into a subrouter, which has the
// Authenticator's Handler as its middleware.
//
// A middleware of gorilla/mux runs where a route matches, and only there: what
// matches none is answered with 404 or 405 to anybody, signed in or not. The
// routes of the Authenticator come first, since the first match wins. A
// subrouter of the subrouter may name the Handler again: inside itself it does
// nothing.
func Gorilla(auth *middleware.Authenticator, api *client.Client) http.Handler {
	r := mux.NewRouter()
	r.Handle("/auth/refresh", auth.RefreshHandler()).Methods("POST")
	r.Handle("/auth/rebearer.js", auth.ScriptHandler()).Methods("GET")
	r.Handle("/logout", auth.LogoutHandler()).Methods("POST")

	pages := r.NewRoute().Subrouter()
	pages.Use(auth.Handler)
	pages.Handle("/me", auth.Boundary(me(api))).Methods("GET")
	pages.Handle("/stream", auth.Boundary(stream(api))).Methods("GET")
	return r
}
