// Command bff is a small BFF: a program that serves pages, keeps the tokens of
// its users in cookies, and calls an API with them. Start it with nothing set,
// open the URL that it prints, and click: it brings an authorization server and
// an API of its own, and shows what happens between the three.
//
// The environment says everything else; see the table in README.md, next to
// this file. Exit status 2 means that the environment is wrong.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Getenv, os.Stdout, os.Stderr))
}

// bff is the program without its listener.
type bff struct {
	config
	backend     backend
	demo        *demo        // nil if the backend is somebody else's
	store       *sharedStore // nil if sessions are this process's own
	log         *slog.Logger
	timeline    *timeline
	coordinator *tokencache.Coordinator
	auth        *middleware.Authenticator
	api         *client.Client // for calls with a small answer
	stream      *http.Client   // for bodies that pass through
	signIns     *http.Client   // knows nobody's tokens
	bases       []*http.Transport
	handler     http.Handler
}

// newBFF wires the program. The caller closes it.
func newBFF(c config, log *slog.Logger) (*bff, error) {
	b := &bff{config: c, log: log, timeline: newTimeline()}
	if err := b.share(); err != nil {
		return nil, err
	}
	b.connect()
	toAPI, toAS := b.base(), b.base() // two pools: calls that wait must not keep a refresh from its connection
	toAPI.MaxConnsPerHost = maxConns

	exchange, revoke := b.endpoint(b.timeline.exchanges(toAS, b.backend.refresh))
	b.coordinator = &tokencache.Coordinator{Refresher: exchange, Revoker: revoke, Realm: b.backend.refresh + " " + c.clientID, Log: log}
	if b.store != nil {
		b.coordinator.Store = b.store
	}
	signed := b.timeline.calls(&transport.Transport{
		Base: b.timeline.attempts(toAPI), Origins: []string{originOf(b.backend.api)}, MaxBody: maxBody,
	})
	b.api = client.New(b.backend.api, signed)
	b.stream = &http.Client{Transport: signed, CheckRedirect: noRedirect}
	b.signIns = &http.Client{Transport: b.timeline.signIns(toAS), CheckRedirect: noRedirect, Timeout: 10 * time.Second}
	b.auth = &middleware.Authenticator{
		Coordinator: b.coordinator, Verifier: b.backend.verifier, Cookies: c.cookies(), Mode: c.mode,
		Public: []string{"GET /public"}, Log: log,
	}
	if err := b.auth.Validate(); err != nil {
		b.close()
		return nil, err
	}
	b.handler = b.routes()
	b.announce()
	return b, nil
}

// routes says what is behind a session, and what is not.
func (b *bff) routes() http.Handler {
	inside := http.NewServeMux()
	inside.Handle("GET /{$}", b.boundary(b.servePage))
	inside.Handle("GET /fanout", b.boundary(b.serveFanout))
	inside.Handle("GET /stream", b.boundary(b.serveStream))
	inside.Handle("POST /comments", b.boundary(b.serveComments))
	inside.Handle("GET /events", b.timeline)
	inside.HandleFunc("GET /public", servePublic)

	mux := http.NewServeMux()
	mux.Handle("/", b.auth.Handler(watchCache(inside)))
	mux.Handle("GET /boundary", b.boundary(b.serveBoundary)) // on its own: the browser refreshes
	mux.Handle("POST /auth/refresh", b.auth.RefreshHandler())
	mux.Handle("GET /auth/rebearer.js", b.auth.ScriptHandler())
	mux.Handle("POST /logout", b.auth.LogoutHandler())
	mux.HandleFunc("GET /login", b.serveLogin)
	mux.HandleFunc("POST /login", b.serveSignIn)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.Handle("GET /static/", static())
	if b.demo != nil {
		mux.HandleFunc("POST /demo/{control}", b.demo.serve)
	}
	// Nothing that changes something can be asked for by another site.
	sameOrigin := http.NewCrossOriginProtection().Handler(mux)
	return quiet(b.timeline.watch, headers(limit(sameOrigin)))
}

// run serves until ctx ends, and returns the exit status.
func run(ctx context.Context, getenv func(string) string, stdout, stderr io.Writer) int {
	c, err := readConfig(getenv)
	if err != nil {
		fmt.Fprintln(stderr, "bff:", err)
		return 2
	}
	b, err := newBFF(c, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		fmt.Fprintln(stderr, "bff:", err)
		return 2
	}
	defer b.close()
	l, err := net.Listen("tcp", c.addr)
	if err != nil {
		fmt.Fprintln(stderr, "bff:", err)
		return 1
	}
	server := &http.Server{Handler: b.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	server.RegisterOnShutdown(b.timeline.close)
	fmt.Fprintln(stdout, "listening on", browsable(l.Addr()))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		fmt.Fprintln(stderr, "bff:", err)
		return 1
	case <-ctx.Done():
	}
	return b.shutdown(server)
}
