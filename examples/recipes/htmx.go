package recipes

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"

	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
)

// HTMX serves a page of htmx whose refresh cookie is seen below /auth/ only
// (Cookies.RefreshPath), so that renewal is the browser's part. The script of the
// boundary does it for whole pages. htmx 2 asks for fragments by XMLHttpRequest,
// where rebearer.fetch is no help; but a browser follows a 307 without telling,
// and with the method and the body that there were. So Fragments sends it by where
// the refresh cookie is seen. There is nothing to do in the page.
//
// With a refresh cookie for all paths, put auth.Handler around the pages. Fragments
// is of use there as well, for the login page. htmx 4 is served the same.
func HTMX(auth *middleware.Authenticator, api *client.Client) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /auth/refresh", auth.RefreshHandler())
	mux.Handle("/auth/again", again(auth.RefreshHandler()))
	mux.Handle("POST /auth/logout", auth.LogoutHandler())
	mux.Handle("GET /auth/rebearer.js", auth.ScriptHandler())
	mux.Handle("GET /{$}", auth.Boundary(func(w http.ResponseWriter, _ *http.Request) error {
		_, err := fmt.Fprint(w, htmxPage)
		return err
	}))
	mux.Handle("GET /me", auth.Boundary(me(api)))
	mux.Handle("POST /items", auth.Boundary(func(w http.ResponseWriter, r *http.Request) error {
		resp, err := api.R(r.Context()).SetBody(r.FormValue("name")).Post("/comments")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "<li>%s</li>", html.EscapeString(resp.String()))
		return err
	}))
	return Fragments(mux)
}

const htmxPage = `<!doctype html>
<title>Items</title>
<script src="https://cdn.jsdelivr.net/npm/htmx.org@2.0.11/dist/htmx.min.js"
  integrity="sha384-2OatzQy1H+Zd/IIrjr1TcuDGqLXeHhbooAyJY1KdQMKnr4LZ22k31GBLdYKHmVjg" crossorigin="anonymous"></script>
<p hx-get="/me" hx-trigger="load, click">…</p>
<ul id="items"></ul>
<form hx-post="/items" hx-target="#items" hx-swap="beforeend"><input name="name"><button>Add</button></form>
`

// Fragments makes of the Authenticator's answers what htmx can follow. It goes
// outermost.
//
//   - 401 where the browser can renew: 307 to again, which leads back.
//   - 401 where it cannot: HX-Redirect to the login page, which leads to the page.
//   - 403 for a stronger sign-in: the same, with what is asked for.
//
// All else is passed on, such as 503, which is an htmx:responseError.
func Fragments(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("HX-Request") == "true" {
			r = r.Clone(r.Context())
			r.Header.Set("Sec-Fetch-Dest", "empty") // no page, though htmx 4 says Accept: text/html
			w = &fragment{w, r, false}
		}
		next.ServeHTTP(w, r)
	})
}

// fragment is the answer to a request of htmx.
type fragment struct {
	http.ResponseWriter
	r    *http.Request
	mute bool // the text is of the answer that was replaced
}

func (f *fragment) Unwrap() http.ResponseWriter { return f.ResponseWriter }

func (f *fragment) Write(p []byte) (int, error) {
	if f.mute {
		return len(p), nil
	}
	return f.ResponseWriter.Write(p)
}

func (f *fragment) WriteHeader(status int) {
	what, value, _ := strings.Cut(f.Header().Get("WWW-Authenticate"), `="`)
	value, uri := strings.TrimSuffix(value, `"`), f.r.URL.RequestURI()
	switch {
	case status == http.StatusNoContent && f.r.URL.Path == "/auth/again":
		f.Header().Set("Location", ours(f.r.URL.Query().Get("next")))
		status = http.StatusTemporaryRedirect
	case status == http.StatusUnauthorized && what == "Rebearer":
		f.leave("/login")
	case status == http.StatusForbidden && what == "Rebearer login":
		f.leave(value)
	case status == http.StatusUnauthorized && what == "Rebearer spent" && ours(uri) == uri && !f.vain(value):
		http.SetCookie(f, &http.Cookie{Name: "again", Value: value, Path: "/", MaxAge: 10, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		f.Header().Set("Location", "/auth/again?"+url.Values{"spent": {value}, "next": {uri}}.Encode())
		f.mute, status = true, http.StatusTemporaryRedirect
	}
	f.ResponseWriter.WriteHeader(status)
}

// vain reports whether what the API rejects has come of a renewal just now: the
// cookie, which holds no token, names another one that was spent for it. One more
// would fare no better, and the browser would go round in circles.
func (f *fragment) vain(spent string) bool {
	c, err := f.r.Cookie("again")
	return err == nil && c.Value != spent
}

// leave has the whole page go to the login page, and come back to where it is now.
func (f *fragment) leave(login string) {
	to, err := url.Parse(login)
	if err != nil {
		return
	}
	q := to.Query()
	if page, err := url.Parse(f.r.Header.Get("HX-Current-URL")); err == nil {
		q.Set("next", ours(page.RequestURI()))
	}
	to.RawQuery = q.Encode()
	f.Header().Set("HX-Redirect", to.String())
}

// again renews, as POST /auth/refresh does, and sends the browser back to what it
// has asked for, with the body that it still has. Only htmx gets here: another site
// cannot send its header.
func again(refresh http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("HX-Request") != "true" {
			http.Error(w, "this is for htmx", http.StatusBadRequest)
			return
		}
		ask := r.Clone(r.Context())
		ask.Method, ask.Body = http.MethodPost, http.NoBody
		ask.Header.Set("Rebearer-Spent", r.URL.Query().Get("spent"))
		refresh.ServeHTTP(w, ask) // whose 204 Fragments sends back
	})
}

// ours returns the path if it is on this host, else "/".
func ours(path string) string {
	return middleware.Next(&http.Request{Form: url.Values{"next": {path}}})
}
