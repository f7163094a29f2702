//go:build unix

package faults

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/redisd"
)

// world is everything: the servers, the ways to them, the replicas and the users.
type world struct {
	t        *testing.T
	as       *authtest.AS
	api      *authtest.API
	ledger   *ledger
	ways     []*way
	replicas []*replica
	clean    *http.Transport // between the browsers and the replicas
	browsers []*browser
	clicking atomic.Bool
	tabs     sync.WaitGroup
	stalls   stalls
	began    time.Time

	requests, wrong, serial atomic.Int64

	// What is known in the end.
	before, after []held
	again, ended  map[string]int // refresh tokens presented again, and sessions, by reason

	mu     sync.Mutex
	losses []loss
	seen   map[string]map[outcome]int // by kind of click
	posts  map[string]bool            // that were answered with 200
}

// loss is a user who was told to sign in, and had not signed out.
type loss struct {
	user   string
	family *family
	why    string
	at     time.Time
}

// replica is a process that runs a bff.
type replica struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	addr  string
}

func newWorld(t *testing.T, e extent, mild bool) *world {
	t.Helper()
	server := redisd.Start(t)
	w := &world{t: t, began: time.Now(), ledger: newLedger(), seen: map[string]map[outcome]int{}, again: map[string]int{}, ended: map[string]int{}, posts: map[string]bool{}}
	w.as = authtest.NewAS(authtest.ASConfig{
		Wire: authtest.TLS, Alg: "EdDSA", AccessTTL: 4 * time.Second, RefreshTTL: 24 * time.Hour,
		Delay: 200 * time.Millisecond, // so that a replica comes while the other presents
	})
	t.Cleanup(w.as.Close)
	w.api = w.as.NewAPI()
	t.Cleanup(w.api.Close)
	w.ledger.watch(w.as, w.api)
	hops := []kind{latency, reset, slowClose, halfOpen, trickle, refusing, badTLS}
	w.ways = []*way{
		{name: "API", deck: deckOf(hops, false), proxy: startProxy(t, host(w.api.URL))},
		{name: "AS", deck: deckOf(hops, mild), proxy: startProxy(t, host(w.as.URL))},
		{name: "Redis", deck: deckOf(hops[:6], false), proxy: startProxy(t, server.Addr())}, // without TLS
	}
	for _, way := range w.ways {
		way.faults, way.last = map[string]int{}, e.fault
	}
	for i := range 2 {
		w.replicas = append(w.replicas, w.startReplica(order{Name: fmt.Sprint("replica", i+1), Redirect: i == 1, Timeout: e.timeout}))
	}
	w.clean = &http.Transport{MaxIdleConnsPerHost: e.users * 2}
	t.Cleanup(w.clean.CloseIdleConnections)
	for i := range e.users {
		w.browsers = append(w.browsers, newBrowser(w, fmt.Sprint("user", i)))
	}
	return w
}

func host(url string) string { return strings.TrimPrefix(url, "https://") }

// startReplica starts one, which ends with the test.
func (w *world) startReplica(o order) *replica {
	w.t.Helper()
	r := &replica{cmd: exec.Command(os.Args[0])}
	r.cmd.Env = append(os.Environ(), replicaVariable+"=1")
	r.cmd.Stderr = os.Stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	listening := make(chan string, 1)
	var reading sync.WaitGroup
	reading.Go(func() { w.hear(out, listening) })
	w.t.Cleanup(func() {
		r.stdin.Close()
		late := time.AfterFunc(30*time.Second, func() { r.cmd.Process.Kill() })
		defer late.Stop()
		reading.Wait()
		if err := r.cmd.Wait(); err != nil {
			w.t.Errorf("%s: %v", o.Name, err)
		}
	})
	o.API, o.AS, o.Redis = "https://"+w.ways[0].proxy.addr, "https://"+w.ways[1].proxy.addr, w.ways[2].proxy.addr
	o.Roots = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.certificate()}))
	json.NewEncoder(r.stdin).Encode(o)
	select {
	case r.addr = <-listening:
	case <-time.After(20 * time.Second):
		w.t.Fatalf("%s does not start", o.Name)
	}
	return r
}

// certificate returns the one of all our servers.
func (w *world) certificate() []byte {
	c, err := tls.Dial("tcp", host(w.as.URL), w.as.Transport().TLSClientConfig)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Raw
}

// hear reads what a replica tells.
func (w *world) hear(out io.Reader, listening chan<- string) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			w.t.Errorf("a replica says %q", lines.Text())
			continue
		}
		switch {
		case e.Listening != "":
			listening <- e.Listening
		case e.Lost != nil:
			w.ledger.lose(e.Lost)
		case e.Stalled != nil:
			w.stalls.add(e.Stalled[0], e.Stalled[1])
		case e.Log != "":
			w.ledger.log(e.Log)
		}
	}
}

// clicks reports whether the users go on.
func (w *world) clicks(ctx context.Context) bool { return w.clicking.Load() && ctx.Err() == nil }

// rest is what a user does between two clicks. It ends with the clicking.
func (w *world) rest(ctx context.Context, d time.Duration) {
	for until := time.Now().Add(d); w.clicks(ctx) && time.Now().Before(until); {
		pause(ctx, min(100*time.Millisecond, time.Until(until)))
	}
}

func (w *world) unexpected(ctx context.Context, format string, args ...any) {
	if ctx.Err() == nil {
		w.t.Errorf(format, args...)
	}
}

// saw notes what a user saw.
func (w *world) saw(kind string, came outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[kind] == nil {
		w.seen[kind] = map[outcome]int{}
	}
	w.seen[kind][came]++
}

func (w *world) loseSession(l loss) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.losses = append(w.losses, l)
}

func (w *world) posted(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.posts[id] = true
}
