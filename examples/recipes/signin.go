package recipes

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/transport/dpop"
	"golang.org/x/oauth2"
)

// Login signs people in at an OpenID provider, by the code flow with PKCE (RFC
// 9700 section 2.1.1): golang.org/x/oauth2 and go-oidc do that. Their part ends,
// and ours begins, with a Token and SignIn. Whatever fails, no session is lost.
// Its cookies need TLS, or a browser that takes localhost for safe.
type Login struct {
	Auth     *middleware.Authenticator
	Provider *oidc.Provider // what oidc.NewProvider found
	// Client has a RedirectURL here, and an Endpoint with an AuthStyle, InParams
	// for a public client: auto-detection shows a code twice. Its AuthURL may
	// have a query, such as resource (RFC 8707) or prompt.
	Client oauth2.Config
	More   []string          // scopes that a step-up may ask for: anybody can make up its link
	Base   http.RoundTripper // sends the code. If nil, http.DefaultTransport.
	// Prover binds each session to a new key (DPoP, RFC 9449): that of the
	// Transport and the TokenEndpoint, too. The Auth needs Cookies.Secrets then.
	// If nil, they are bearer tokens. SignIn refuses what is not as it should be.
	Prover *dpop.Prover
}

const begun = "__Host-login-" // before the name of each cookie

// Routes adds the login page, the RedirectURL and the logout.
func (l *Login) Routes(mux *http.ServeMux) {
	back, err := url.Parse(l.Client.RedirectURL)
	if err != nil || back.Path == "" || l.Client.Endpoint.AuthStyle == oauth2.AuthStyleAutoDetect {
		panic("recipes: the Client needs a RedirectURL with a path, and an AuthStyle")
	}
	mux.HandleFunc("GET "+cmp.Or(l.Auth.LoginURL, "/login"), l.begin)
	mux.HandleFunc("GET "+back.Path, l.finish)
	mux.Handle("POST /logout", l.Auth.LogoutHandler())
}

// begin sends the browser to the provider. Where a logout leads there is no
// next: to go on at once would undo it, since the provider still knows the user.
func (l *Login) begin(w http.ResponseWriter, r *http.Request) {
	next := middleware.Next(r)
	if !r.URL.Query().Has("next") || len(next) > 1000 { // more might not fit into a cookie
		l.say(w, http.StatusOK, "You are not signed in.", "/")
		return
	}
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	keep(w, name(state), url.Values{"nonce": {nonce}, "verifier": {verifier}, "next": {next}}.Encode(), 600)
	// One for each tab, but not more than a server takes. The oldest comes first (RFC 6265 section 5.4).
	tabs := slices.DeleteFunc(r.Cookies(), func(c *http.Cookie) bool { return !strings.HasPrefix(c.Name, begun) })
	for ; len(tabs) > 4; tabs = tabs[1:] {
		keep(w, tabs[0].Name, "", -1)
	}
	config, asked := l.Client, middleware.StepUp(r) // whether that was enough is for the API to say
	more := slices.DeleteFunc(strings.Fields(asked.Get("scope")), func(s string) bool { return !slices.Contains(l.More, s) })
	config.Scopes = slices.Concat(config.Scopes, more)
	asked.Del("scope")
	to := config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce))
	http.Redirect(w, r, to+"&"+asked.Encode(), http.StatusSeeOther)
}

// finish is where the provider sends the browser back to. The state has to be
// this browser's: with a code of an attacker's, somebody would go on in the
// attacker's account.
func (l *Login) finish(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	c, err := r.Cookie(name(q.Get("state")))
	if err != nil {
		l.say(w, http.StatusBadRequest, "This sign-in began elsewhere, took too long, or is over.", "/")
		return
	}
	keep(w, c.Name, "", -1) // good for once, whatever comes of it
	kept, _ := url.ParseQuery(c.Value)
	next := middleware.Next(&http.Request{Form: kept})
	token, err := l.redeem(r.Context(), q, kept)
	if err == nil {
		if err = l.Auth.SignIn(w, r, token); err == nil {
			http.Redirect(w, r, next, http.StatusSeeOther)
			return
		}
	}
	status := http.StatusBadGateway
	if errors.Is(err, errRefused) {
		status = http.StatusForbidden
	}
	if l.Auth.Log != nil {
		l.Auth.Log.WarnContext(r.Context(), "a sign-in failed", "err", err)
	}
	l.say(w, status, "The sign-in did not succeed.", next)
}

// name is that of the cookie of a state: who shows both was given both.
func name(state string) string { return fmt.Sprintf("%s%.16x", begun, sha256.Sum256([]byte(state))) }

// keep sets a cookie that comes along when another site leads back, unlike a Strict one.
func keep(w http.ResponseWriter, name, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	w.Header().Set("Cache-Control", "no-store")
}

// say shows a page that leads to another sign-in.
func (l *Login) say(w http.ResponseWriter, status int, what, next string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer") // its URL may have a code
	w.WriteHeader(status)
	fmt.Fprintf(w, `<!doctype html><title>Sign in</title><p>%s <a href="%s">Sign in</a>`,
		html.EscapeString(what), html.EscapeString(cmp.Or(l.Auth.LoginURL, "/login")+"?next="+url.QueryEscape(next)))
}
