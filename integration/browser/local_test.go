package browser

import (
	"context"
	"fmt"
	"html/template"
	"net/http"

	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// local is a BFF in this process, for what examples/bff cannot be told to be.
type local struct {
	*site
	auth *middleware.Authenticator
	api  *client.Client
}

// local serves one that was changed in some way before its start. All of its
// answers have the policy, if there is one.
func (w *world) local(change func(*middleware.Authenticator), policy func(http.Handler) http.Handler) *local {
	w.t.Helper()
	base := w.as.Transport().Clone()
	w.t.Cleanup(base.CloseIdleConnections)
	endpoint := &transport.TokenEndpoint{URL: w.as.TokenURL(), RevocationURL: w.as.RevokeURL(), ClientID: "bff", Base: base}
	coordinator := &tokencache.Coordinator{Refresher: endpoint, Revoker: endpoint}
	w.t.Cleanup(func() { coordinator.Wait(context.Background()) })
	l := &local{
		auth: &middleware.Authenticator{
			Coordinator: coordinator,
			Verifier:    &middleware.Verifier{Algorithms: []string{"HS256"}, Key: w.as.Key(), Issuer: w.as.URL, Audience: "api"},
		},
		api: client.New(w.api.URL, &transport.Transport{Base: base, Origins: []string{w.api.URL}}),
	}
	if change != nil {
		change(l.auth)
	}
	h := l.routes(w)
	if policy != nil {
		h = policy(h)
	}
	l.site = open(w.t, h)
	return l
}

func (l *local) routes(w *world) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/auth/refresh", l.auth.RefreshHandler())
	mux.Handle("/auth/rebearer.js", l.auth.ScriptHandler())
	mux.Handle("/auth/logout", l.auth.LogoutHandler()) // where a refresh cookie for /auth comes, too
	mux.HandleFunc("GET /login", func(rw http.ResponseWriter, r *http.Request) {
		show(rw, r, `<h1>Sign in</h1><form method="post" action="/login"><input type="hidden" name="next" value="{{.}}"><button>Sign in</button></form>`,
			middleware.Next(r))
	})
	mux.HandleFunc("POST /login", func(rw http.ResponseWriter, r *http.Request) {
		if err := l.auth.SignIn(rw, r, w.as.SignIn("alice")); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		http.Redirect(rw, r, middleware.Next(r), http.StatusSeeOther)
	})
	mux.Handle("/", l.auth.Handler(l.auth.Boundary(l.page)))
	// On their own: the browser refreshes.
	mux.Handle("GET /boundary", l.auth.Boundary(l.page))
	mux.Handle("GET /late", l.auth.Boundary(l.late))
	mux.Handle("GET /api/items/{i}", l.auth.Boundary(l.item))
	mux.HandleFunc("GET /script", func(rw http.ResponseWriter, r *http.Request) {
		show(rw, r, `<h1>Calls</h1><script src="/auth/rebearer.js" nonce="{{.}}"></script>`, nonceOf(r))
	})
	mux.HandleFunc("GET /links", func(rw http.ResponseWriter, r *http.Request) {
		show(rw, r, `<h1>Links</h1>{{range $i, $_ := .}}<link rel="prefetch" href="/linked/{{$i}}">{{end}}`, make([]int, links))
	})
	return mux
}

// links is how many pages /links has the browser prefetch.
const links = 12

func (l *local) page(w http.ResponseWriter, r *http.Request) error {
	var me struct{ User string }
	if _, err := l.api.R(r.Context()).SetResult(&me).Get("/users/me"); err != nil {
		return err
	}
	show(w, r, `<h1>Signed in as {{.}}</h1><form method="post" action="/auth/logout"><button>Sign out</button></form>`, me.User)
	return nil
}

// late is a page of which the beginning is sent before anybody is asked.
func (l *local) late(w http.ResponseWriter, r *http.Request) error {
	show(w, r, `<h1>A long page</h1>`, nil)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return err
	}
	return l.page(w, r)
}

func (l *local) item(w http.ResponseWriter, r *http.Request) error {
	var item struct{ Item, User string }
	if _, err := l.api.R(r.Context()).SetResult(&item).Get("/items/" + r.PathValue("i")); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintf(w, "%s of %s", item.Item, item.User)
	return nil
}

func show(w http.ResponseWriter, _ *http.Request, page string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	template.Must(template.New("").Parse("<!doctype html><link rel=icon href=data:,>"+page)).Execute(w, data)
}

type nonceKey struct{}

// nonceOf returns the nonce of a response, or "".
func nonceOf(r *http.Request) string {
	n, _ := r.Context().Value(nonceKey{}).(string)
	return n
}

// insecureCookies are those of plain http.
func insecureCookies(a *middleware.Authenticator) { a.Cookies.InsecureNoTLS = true }
