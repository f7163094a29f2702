package middleware

import (
	_ "embed"
	"net/http"
	"strings"
	"time"
)

//go:embed rebearer.js
var script string

// ScriptHandler serves the script for the browser, a few KB without a build
// step. The boundary page loads it; a page that does so itself gets
//
//	<script src="/auth/rebearer.js"></script>
//	<script> rebearer.fetch("/api/items").then(…) </script>
//
// where rebearer.fetch is fetch, but for a 401 of a [Authenticator.Boundary]:
// it has the tokens renewed, once for all calls and all tabs, and sends the
// request again. For a 403 that asks for a stronger sign-in it leaves the page
// for the login page, to come back to it. The attributes data-refresh and
// data-login of the element name RefreshURL and the login page, where those are
// not the defaults.
func (a *Authenticator) ScriptHandler() http.Handler {
	a.must()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			problem{status: http.StatusMethodNotAllowed}.write(w)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "public, max-age=3600")
		h.Set("ETag", scriptTag)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(script))
	})
}

var scriptTag = `"` + fingerprint(script) + `"`
