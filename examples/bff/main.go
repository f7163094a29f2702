// Command bff is a small BFF: a program that serves pages, keeps the tokens of
// its users in cookies or in sessions, and calls an API with them. Start it with
// nothing set, open the URL that it prints, and click: it is two replicas then,
// brings an authorization server and an API of its own, and shows what happens
// between the four.
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
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Getenv, os.Stdout, os.Stderr))
}

// bff is the program without its listener. What its replicas share is here.
type bff struct {
	config
	backend  backend
	demo     *demo        // nil if the backend is somebody else's
	store    *sharedStore // nil if sessions are this process's own
	memory   tokencache.MemoryStore
	log      *slog.Logger
	timeline *timeline
	bases    []*http.Transport
	replicas []*replica
	turn     atomic.Int64
	handler  http.Handler
}

// newBFF wires the program. The caller closes it.
func newBFF(c config, log *slog.Logger) (*bff, error) {
	b := &bff{config: c, log: log, timeline: newTimeline()}
	if err := b.share(); err != nil {
		return nil, err
	}
	b.connect()
	for n := range max(1, b.config.replicas) {
		r, err := b.replica(n + 1)
		if err != nil {
			b.close()
			return nil, err
		}
		b.replicas = append(b.replicas, r)
	}
	b.handler = b.routes()
	b.announce()
	return b, nil
}

// routes says what is for nobody in particular; the rest is for whichever replica
// has its turn, as behind a load balancer.
func (b *bff) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", b.timeline.watch(http.HandlerFunc(b.balance)))
	mux.Handle("GET /events", b.replicas[0].pages)
	mux.Handle("GET /auth/rebearer.js", b.replicas[0].pages)
	mux.Handle("GET /static/", static())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	if b.demo != nil {
		mux.HandleFunc("POST /demo/{control}", b.demo.serve)
		mux.HandleFunc("GET /demo/counts", b.demo.serveCounts)
		mux.Handle("POST /demo/end", b.replicas[0].auth.Handler(http.HandlerFunc(b.demo.serve)))
	}
	// Nothing that changes something can be asked for by another site.
	return headers(limit(http.NewCrossOriginProtection().Handler(mux)))
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
