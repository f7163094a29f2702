package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// headerCase is one HTTP/2 connection on which many users' requests travel. Each
// end may keep header fields that have been sent in a table (RFC 7541), which
// has 4096 bytes unless both want more: about six tokens.
type headerCase struct {
	name           string
	users          int
	client, server int // sizes of their tables; 0 is what net/http has
}

const (
	// widerTable is room for about 1,500 tokens.
	widerTable = 1 << 20
	// onWireToken is how long a user's token is here.
	onWireToken = 600
)

func headerCases(users int) []headerCase {
	return []headerCase{
		{"one user", 1, 0, 0},
		{fmt.Sprintf("%d users", users), users, 0, 0},
		{fmt.Sprintf("%d users, 1 MiB on the client's side only", users), users, widerTable, 0},
		{fmt.Sprintf("%d users, 1 MiB on the server's side only", users), users, 0, widerTable},
		{fmt.Sprintf("%d users, 1 MiB on both sides", users), users, widerTable, widerTable},
	}
}

// traffic is what the client has written in a case, once each user has made a
// request.
type traffic struct {
	first, later float64 // bytes of a user's first request, of one after that
	cpu          float64 // nanoseconds of a request, of both ends
	connections  int64
}

// travel makes the requests, one after the other, in each round one of each user
// in another order.
func (c headerCase) travel(rounds int) (traffic, error) {
	users := c.arrive()
	server := c.serve(users)
	defer server.Close()
	wire := &wire{}
	base := wire.transport(server, c.client)
	defer base.CloseIdleConnections()
	api := &http.Client{Transport: &transport.Transport{Base: base, Origins: []string{server.URL}}}
	if _, err := api.Head(server.URL + path); err != nil { // its answer comes after the server's settings
		return traffic{}, err
	}
	b := browsers{api: api, url: server.URL + path, order: rand.New(rand.NewPCG(1, 2))}
	coordinator := &tokencache.Coordinator{}
	for _, u := range users {
		token := tokencache.NewToken(tokencache.TokenFields{Access: u.first})
		b.contexts = append(b.contexts, tokencache.NewContext(context.Background(), tokencache.New(coordinator, token)))
	}
	before := wire.written.Load()
	if err := b.everyone(); err != nil {
		return traffic{}, err
	}
	between := wire.written.Load()
	m := begin()
	for range rounds {
		if err := b.everyone(); err != nil {
			return traffic{}, err
		}
	}
	requests := float64(rounds * c.users)
	return traffic{
		first: float64(between-before) / float64(c.users), later: float64(wire.written.Load()-between) / requests,
		cpu: m.end().cpu / requests, connections: wire.dialled.Load(),
	}, nil
}

// browsers are the users at theirs.
type browsers struct {
	api      *http.Client
	url      string
	contexts []context.Context
	order    *rand.Rand
}

// everyone makes a request for each of them.
func (b browsers) everyone() error {
	for _, i := range b.order.Perm(len(b.contexts)) {
		req, err := transport.NewRequest(b.contexts[i], "GET", fmt.Sprintf("%s?user=%d", b.url, 100+i), nil)
		if err != nil {
			return err
		}
		resp, err := b.api.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errStatus
		}
	}
	return nil
}

// serve returns the API. This is the configuration that widens its table.
func (c headerCase) serve(users []*user) *httptest.Server {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i, _ := strconv.Atoi(r.URL.Query().Get("user"))
		if r.Method == "GET" && (r.ProtoMajor != 2 || !users[i-100].accepts(r.Header)) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	server.EnableHTTP2 = true
	if c.server > 0 {
		server.Config.HTTP2 = &http.HTTP2Config{MaxDecoderHeaderTableSize: c.server}
	}
	server.StartTLS()
	return server
}

// arrive returns the users.
func (c headerCase) arrive() []*user {
	users := make([]*user, c.users)
	distinct := letters{rand.NewChaCha8([32]byte{})}
	for i := range users {
		users[i] = &user{first: distinct.text(onWireToken)}
		users[i].accept(users[i].first)
	}
	return users
}

// letters are those of tokens, which HPACK shortens as it does theirs.
type letters struct{ source *rand.ChaCha8 }

func (l letters) text(n int) string {
	raw := make([]byte, n)
	l.source.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw)[:n]
}

// wire counts what is written to the connections of a client, below TLS.
type wire struct{ dialled, written atomic.Int64 }

// transport returns the configuration that widens the client's table.
func (w *wire) transport(server *httptest.Server, table int) *http.Transport {
	t := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"},
		ForceAttemptHTTP2: true, // since there is a DialContext
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			w.dialled.Add(1)
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			return counted{c, w}, err
		},
	}
	if table > 0 {
		t.HTTP2 = &http.HTTP2Config{MaxEncoderHeaderTableSize: table}
	}
	return t
}

type counted struct {
	net.Conn
	wire *wire
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.wire.written.Add(int64(n))
	return n, err
}

// headerTables measures all cases and returns a table of them.
func headerTables(rounds int) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "### 6: HTTP/2, one connection, tokens of %d bytes\n\nWhat the client writes for a request, with 9 bytes of frame and 22 of TLS.\n\n", onWireToken)
	b.WriteString("| case | bytes of a user's first request | of the later ones | CPU µs of a request, both ends | connections |\n|---|---|---|---|---|\n")
	for _, c := range headerCases(50) {
		t, err := c.travel(rounds * 100 / c.users * 10)
		if err != nil {
			return "", fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %.1f | %d |\n", c.name, t.first, t.later, t.cpu/1000, t.connections)
	}
	return b.String() + "\n", nil
}
