package recipes

import (
	"net/http"

	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
)

// NetHTTP is the recipe without a framework: one mux for what needs a session,
// and one around it for what does not. Whatever a page's handler returns as an
// error is answered by Boundary as it should be: the login page, 401, 503 with
// Retry-After, and so on.
func NetHTTP(auth *middleware.Authenticator, api *client.Client) http.Handler {
	pages := http.NewServeMux()
	pages.Handle("GET /me", auth.Boundary(me(api)))
	pages.Handle("GET /stream", auth.Boundary(stream(api)))

	mux := http.NewServeMux()
	mux.Handle("POST /auth/refresh", auth.RefreshHandler())
	mux.Handle("GET /auth/rebearer.js", auth.ScriptHandler())
	mux.Handle("POST /logout", auth.LogoutHandler())
	mux.Handle("/", auth.Handler(pages))
	return mux
}
