package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// ops are all that a door can do.
func ops(d *door) map[string]func(context.Context) error {
	all := map[string]func(context.Context) error{
		"get": d.get, "accept": d.accept, "fetch": fetching(d), "create": creating(d),
		"upload": uploading(d, make([]byte, 100_000)),
	}
	if d.trip != nil {
		all["trip"] = func(ctx context.Context) error {
			req, err := d.build(ctx, "GET", "https://api.example.com"+path, nil)
			if err != nil {
				return err
			}
			_, err = read(d.trip.RoundTrip(req))
			return err
		}
	}
	return all
}

// Everything that is measured sends the Authorization that the API wants, or none
// if that is what is said; and does as it says when the token has ended.
func TestEachContenderSendsItsTokenAndDoesAsItSaysAfterA401(t *testing.T) {
	for _, c := range contenders() {
		for name := range ops(c.open(c.site(inTransport))) {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				s := c.site(inTransport)
				defer s.close()
				d := c.open(s)
				ctx := incoming()
				if d.page != nil {
					ctx = d.page(ctx)
				}
				call := ops(d)[name]
				if err := call(ctx); err != nil {
					t.Fatalf("with the first token: %v", err)
				}
				s.user.end()
				first, second := call(ctx), call(ctx)
				n := s.user.exchanges.Load()
				switch {
				case c.renews == never && first == errStatus && second == errStatus && n == 0:
				case c.renews == nextTime && first == errStatus && second == nil && n == 1:
				case c.renews == replays && first == nil && second == nil && n == 1:
				default:
					t.Errorf("says that %s. The first call: %v. The second: %v. Exchanges: %d", c.renews, first, second, n)
				}
			})
		}
	}
}

// All send the same header fields besides, so that nobody saves what others do.
func TestEachContenderSendsTheHeadersThatItIsAskedFor(t *testing.T) {
	for _, c := range contenders() {
		t.Run(c.name, func(t *testing.T) {
			s := c.site(inMemory)
			var seen http.Header
			base := s.base
			s.base = tripper(func(req *http.Request) (*http.Response, error) {
				seen = req.Header.Clone()
				return base.RoundTrip(req)
			})
			d := c.open(s)
			ctx := incoming()
			if d.page != nil {
				ctx = d.page(ctx)
			}
			for name, want := range map[string]struct{ accept, kind string }{
				"get": {"", ""}, "accept": {"application/json", ""}, "fetch": {"application/json", ""},
				"create": {"application/json", "application/json"}, "upload": {"application/json", "application/octet-stream"},
			} {
				if err := ops(d)[name](ctx); err != nil {
					t.Fatal(err)
				}
				// resty has defaults of its own where nothing is said.
				accept, kind := seen.Get("Accept"), seen.Get("Content-Type")
				if want.accept != "" && accept != want.accept || want.kind != "" && kind != want.kind {
					t.Errorf("%s: Accept %q, Content-Type %q, want %v", name, accept, kind, want)
				}
			}
		})
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// Nobody is left out.
func TestEachPeerTakesPart(t *testing.T) {
	for _, peer := range []string{
		"net/http", "x/oauth2", "client-go", "azcore", "go-retryablehttp", "resty v2", "resty v3",
		"rebearer, anybody's", "rebearer, NewRequest", "rebearer, client",
	} {
		if !slices.ContainsFunc(contenders(), func(c contender) bool { return strings.HasPrefix(c.name, peer) }) {
			t.Errorf("%s does not", peer)
		}
	}
}

// A body is sent as a whole again.
func TestABodyArrivesWholeWhenTheCallIsSentAgain(t *testing.T) {
	file := bytes.Repeat([]byte("0123456789"), 10_000)
	for _, c := range contenders() {
		if c.renews != replays {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s := c.site(overSockets)
			defer s.close()
			d := c.open(s)
			ctx := incoming()
			if d.page != nil {
				ctx = d.page(ctx)
			}
			s.user.end()
			if err := d.upload(ctx, file); err != nil {
				t.Fatal(err)
			}
			if n := s.bodies.Load(); n != 2*int64(len(file)) {
				t.Errorf("the API has read %d bytes of two bodies of %d", n, len(file))
			}
		})
	}
}

// The API tells a right token from a wrong one, or the tests above would show
// nothing.
func TestTheAPIRefusesAWrongToken(t *testing.T) {
	for where, place := range map[string]func(*user) *site{"memory": inMemory, "http.Transport": inTransport, "sockets": overSockets} {
		t.Run(where, func(t *testing.T) {
			s := place(newUser("ada"))
			defer s.close()
			for value, want := range map[string]int{"": 401, "Bearer x": 401, "Bearer " + s.user.first: 200} {
				req, _ := http.NewRequest("GET", s.url+path, nil)
				if value != "" {
					req.Header.Set("Authorization", value)
				}
				resp, err := s.base.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != want {
					t.Errorf("%.10q: %d, want %d", value, resp.StatusCode, want)
				}
			}
		})
	}
	s := inMemory(newStranger())
	req, _ := http.NewRequest("GET", s.url+path, nil)
	req.Header.Set("Authorization", "Bearer x")
	if resp, _ := s.base.RoundTrip(req); resp.StatusCode != 401 {
		t.Errorf("a token that is not wanted: %d", resp.StatusCode)
	}
}
