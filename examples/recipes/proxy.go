package recipes

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// Proxy is the most common BFF of all: what a page fetches below /api/ goes on to
// the API, with the user's access token. The Transport must have the API among
// its Origins. Its MaxBody is how much of an upload survives a 401; a longer one
// comes back as 401 with the token renewed, and can be sent again.
//
// The browser's own credentials do not reach the API: the Handler takes away our
// cookies, and forged takes away an Authorization header, which the Handler leaves
// to who is not signed in, and what an API might take for the word of an
// authenticating proxy. In the other direction the Handler lets no cookie of our
// names through.
//
// A fetch that may change something must come from our own pages. Browsers do
// not apply that rule to WebSockets, which are a GET that changes something, so
// sameOrigin does.
func Proxy(auth *middleware.Authenticator, api *url.URL, through *transport.Transport) http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: through,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(api) // and with it the Host
			for name := range r.Out.Header {
				if forged(name) {
					delete(r.Out.Header, name)
				}
			}
			r.SetXForwarded() // what we know ourselves
		},
		FlushInterval:  -1, // what the API sends at once, the browser gets at once
		ModifyResponse: refused,
		ErrorHandler:   auth.Error, // 503 where the API may be back soon, never its text
	}
	mux := http.NewServeMux()
	mux.Handle("POST /auth/refresh", auth.RefreshHandler())
	mux.Handle("GET /auth/rebearer.js", auth.ScriptHandler())
	mux.Handle("POST /logout", auth.LogoutHandler())
	mux.Handle("/api/", sameOrigin(auth.Handler(http.StripPrefix("/api", proxy))))
	return mux
}

// refused makes an error of a 401 that has outlived its refresh, so that
// auth.Error says why: the session is over, or cannot be renewed just now. So it
// does of an answer that demands a stronger sign-in (RFC 9470): with where to go
// for that, which the script for the browser follows.
//
// ReverseProxy adds the header of a 101 to ours when our last moment has passed:
// the API's cookies could replace ours there.
func refused(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		resp.Header.Del("Set-Cookie")
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		if err := transport.StepUp(resp); err != nil {
			return err
		}
		if resp.StatusCode == http.StatusUnauthorized {
			return tokencache.ErrUnauthorized
		}
	}
	return nil
}

// forged reports whether a header is for the proxy alone to set: credentials, and
// what an API might take for what a proxy says of an authenticated user. Some
// servers take an underscore for a dash; no browser sends one. The Transport
// signs after this.
func forged(name string) bool {
	lower := strings.ToLower(name)
	for _, prefix := range []string{"x-forwarded-", "x-auth-request-", "x-authenticated-", "x-goog-authenticated-", "x-ms-client-principal"} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	switch lower {
	case "authorization", "proxy-authorization", "dpop", "remote-user", "x-remote-user", "x-webauth-user", "x-user", "x-real-ip":
		return true
	}
	return strings.Contains(lower, "_")
}

// sameOrigin refuses what another site's page asks for: all methods but GET, HEAD
// and OPTIONS by what http.CrossOriginProtection knows, and WebSockets by their
// Origin (RFC 6455 section 10.2).
func sameOrigin(next http.Handler) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" && r.Header.Get("Upgrade") != "" {
			if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
				http.Error(w, "the request comes from another origin", http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	}))
}
