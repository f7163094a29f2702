package recipes

import (
	"net/http"

	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
)

// Chi puts what needs a session into a group. The Authenticator's Handler is a
// middleware as chi has them, and needs no adapter.
//
// Recoverer may be on either side of it. Outside, as here, it sees a panic of
// the Handler too; the cookies of a refresh before the panic are on its 500 in
// both cases. The same holds for what wraps the writer, such as Logger and
// Compress: the cookies are set when the header is written, whoever writes it.
func Chi(auth *middleware.Authenticator, api *client.Client) http.Handler {
	r := chi.NewRouter()
	r.Use(chimiddleware.Recoverer)

	r.Method("POST", "/auth/refresh", auth.RefreshHandler())
	r.Method("GET", "/auth/rebearer.js", auth.ScriptHandler())
	r.Method("POST", "/logout", auth.LogoutHandler())

	r.Group(func(r chi.Router) {
		r.Use(auth.Handler)
		r.Method("GET", "/me", auth.Boundary(me(api)))
		r.Method("GET", "/stream", auth.Boundary(stream(api)))
	})
	return r
}
