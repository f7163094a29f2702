// Package recipes shows how a middleware.Authenticator sits in the routers that
// people use, one file for each. Every recipe is a whole handler that compiles,
// and a test signs in, takes the access token away and looks at what the
// browser gets.
//
// It is a module of its own, so that none of the frameworks becomes a
// dependency of rebearer's. Copy the file that you need; nothing here is meant to
// be imported.
//
// Two are about what is around a router: Proxy is a BFF that passes on what a page
// fetches, and Replicated is one that runs several times, on one Redis and behind
// anything that spreads requests: RoundRobin here, nginx in its test, whose
// configuration can be copied, too. No replica needs to see the same browser
// twice.
//
// Three are about where tokens come from: Login signs people in with
// golang.org/x/oauth2 and go-oidc, which is not our business, and hands over what
// comes of it. FromOAuth2, Job and TokenSource are for programs that have lived
// with an oauth2.TokenSource until now. SCS is for those that have their sessions
// in alexedwards/scs. Their tests are with a provider that is not
// ours either.
//
// Three are about generated clients: OAPI for oapi-codegen, Ogen for ogen, and Connect
// for connect-go, with a stream whose token ends in between. All of them send by Doer.
// HTMX is a page of fragments, which are renewed for and asked for again.
//
// Two are about what an operator sees: OTel has the traces of requests, and
// Observability all of it, with metrics for Prometheus, in the order in which it
// shows each attempt; observability/dashboard.json is for Grafana.
//
// What all of them have in common: the routes of the Authenticator itself are
// outside of its Handler, since a logout needs no renewal first; the login page
// is yours, and ends with auth.SignIn, as Login does; and every call of the API
// is made with the context of the request, which carries the tokens.
package recipes

import (
	"context"
	"fmt"
	"net/http"

	"github.com/rebearer/rebearer/client"
)

// whoami asks the API whose tokens the context carries.
func whoami(ctx context.Context, api *client.Client) (string, error) {
	var me struct{ User string }
	_, err := api.R(ctx).SetResult(&me).Get("/users/me")
	return me.User, err
}

// me is a page that calls the API before it writes anything: tokens that are
// renewed meanwhile are set on its own response.
func me(api *client.Client) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		user, err := whoami(r.Context(), api)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "page of %s", user)
		return err
	}
}

// stream calls the API when its header is gone: tokens that are renewed then are
// handed over by the next response to this browser.
func stream(api *client.Client) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		fmt.Fprintln(w, "begin")
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		user, err := whoami(r.Context(), api)
		if err != nil {
			return err // too late for an answer; auth.Error does what it can
		}
		_, err = fmt.Fprintf(w, "%s\nend\n", user)
		return err
	}
}
