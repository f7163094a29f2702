package main

import (
	"net/http"

	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// replica is a BFF as it would be in a process of its own: it shares with others
// what a process shares, the Store and the backend. This is what to take from here.
type replica struct {
	*bff
	number      int // from 1 on
	coordinator *tokencache.Coordinator
	auth        *middleware.Authenticator
	api         *client.Client // for calls with a small answer
	stream      *http.Client   // for bodies that pass through
	signIns     *http.Client   // knows nobody's tokens
	pages       http.Handler
}

func (b *bff) replica(number int) (*replica, error) {
	r := &replica{bff: b, number: number}
	toAPI, toAS := b.base(), b.base() // two pools: calls that wait must not keep a refresh from its connection
	toAPI.MaxConnsPerHost = maxConns

	exchange, revoke := b.endpoint(r.exchanges(toAS))
	r.coordinator = &tokencache.Coordinator{
		Refresher: exchange, Revoker: revoke, Realm: b.backend.refresh + " " + b.clientID,
		Store: b.shared(), Log: b.log, Observe: r.observe,
	}
	signed := r.calls(&transport.Transport{Base: r.attempts(toAPI), Origins: []string{originOf(b.backend.api)}, MaxBody: maxBody})
	r.api = client.New(b.backend.api, signed)
	r.stream = &http.Client{Transport: signed, CheckRedirect: noRedirect}
	r.signIns = &http.Client{Transport: r.signingIn(toAS), CheckRedirect: noRedirect, Timeout: signInTimeout}
	r.auth = &middleware.Authenticator{
		Coordinator: r.coordinator, Verifier: b.backend.verifier, Cookies: b.cookies(), Sessions: b.sessions(), Mode: b.mode,
		Public: []string{"GET /public"}, Log: b.log,
	}
	if err := r.auth.Validate(); err != nil {
		return nil, err
	}
	r.pages = r.routes()
	return r, nil
}

// routes says what is behind a session, and what is not.
func (b *replica) routes() http.Handler {
	inside := http.NewServeMux()
	inside.Handle("GET /{$}", b.boundary(b.servePage))
	inside.Handle("GET /tab/{n}", b.boundary(b.serveTab))
	inside.Handle("GET /fanout", b.boundary(b.serveFanout))
	inside.Handle("GET /stream", b.boundary(b.serveStream))
	inside.Handle("POST /comments", b.boundary(b.serveComments))
	inside.Handle("GET /events", b.timeline)
	inside.HandleFunc("GET /public", servePublic)

	mux := http.NewServeMux()
	mux.Handle("/", b.auth.Handler(inside))
	mux.Handle("GET /boundary", b.boundary(b.serveBoundary)) // on its own: the browser refreshes
	mux.Handle("POST /auth/refresh", b.auth.RefreshHandler())
	mux.Handle("GET /auth/rebearer.js", b.auth.ScriptHandler())
	mux.Handle("POST /logout", b.auth.LogoutHandler())
	mux.HandleFunc("GET /login", b.serveLogin)
	mux.HandleFunc("POST /login", b.serveSignIn)
	return mux
}

// balance hands a request to the replica whose turn it is.
func (b *bff) balance(w http.ResponseWriter, r *http.Request) {
	turn := b.turn.Add(1) - 1
	to := b.replicas[turn%int64(len(b.replicas))]
	b.timeline.assign(r, to.number)
	to.pages.ServeHTTP(w, r)
}
