package authtest_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
)

func TestAPIServes(t *testing.T) {
	for _, wire := range []authtest.Wire{authtest.Plain, authtest.TLS, authtest.HTTP2} {
		as := newAS(t, authtest.ASConfig{Wire: wire})
		api := newAPI(t, as)
		token := as.SignIn("alice").Access()
		equal(t, "user", string(get(t, api, "/users/me", token).body), `{"user":"alice"}`)
		equal(t, "item", string(get(t, api, "/items/7", token).body), `{"item":"7","user":"alice"}`)
		equal(t, "slow", string(get(t, api, "/slow?ms=1", token).body), `{"user":"alice"}`)
		a := call(t, api, newRequest(t.Context(), "POST", api.URL+"/comments", "a comment"), token)
		equal(t, "comment", string(a.body), "a comment")
		a = call(t, api, newRequest(t.Context(), "PATCH", api.URL+"/echo", ""), token)
		equal(t, "echo", string(a.body), "")
		equal(t, "method", a.header.Get(authtest.MethodHeader), "PATCH")
		equal(t, "user", a.header.Get(authtest.UserHeader), "alice")
		c := api.Counts()
		equal(t, "sum", c.Tally, authtest.Tally{Requests: 5, OK: 5})
		equal(t, "of /echo", c.Paths["/echo"], authtest.Tally{Requests: 1, OK: 1})
		equal(t, "of alice", c.Subjects["alice"], 5)
	}
}

func TestWires(t *testing.T) {
	for wire, want := range map[authtest.Wire]struct {
		scheme string
		major  int
	}{
		authtest.Plain: {"http", 1},
		authtest.TLS:   {"https", 1},
		authtest.HTTP2: {"https", 2},
	} {
		as := newAS(t, authtest.ASConfig{Wire: wire})
		api := newAPI(t, as)
		for _, url := range []string{as.JWKSURL(), api.URL} {
			// The transport of the one is trusted by both.
			resp, err := as.Transport().RoundTrip(newRequest(t.Context(), "GET", url, ""))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			equal(t, "scheme", resp.Request.URL.Scheme, want.scheme)
			equal(t, "host", resp.Request.URL.Hostname(), "127.0.0.1")
			equal(t, "HTTP", resp.ProtoMajor, want.major)
		}
	}
}

// The body comes back while it is still being sent.
func TestEchoStreams(t *testing.T) {
	for _, wire := range []authtest.Wire{authtest.Plain, authtest.HTTP2} {
		as := newAS(t, authtest.ASConfig{Wire: wire})
		api := newAPI(t, as)
		pr, pw := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), "PUT", api.URL+"/echo", pr)
		if err != nil {
			t.Fatal(err)
		}
		as.SignIn("alice").SetHeader(req.Header)
		sent := make([]byte, 8<<20)
		rand.Read(sent)
		go func() {
			pw.Write(sent[:1<<20])
			io.Copy(pw, bytes.NewReader(sent[1<<20:]))
			pw.Close()
		}()
		resp, err := api.Transport().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
		}
	}
}

func TestAPIRefuses(t *testing.T) {
	as := newAS(t, authtest.ASConfig{AccessTTL: time.Minute})
	api := newAPI(t, as)
	good := as.SignIn("alice")
	revoked := as.SignIn("alice").Access()
	if a := revoke(t, as, revoked); a.status != 200 {
		t.Fatal(a.status)
	}
	for _, c := range []struct{ name, header string }{
		{"nothing", ""},
		{"another scheme", "Basic " + good.Access()},
		{"an opaque token", "Bearer opaque"},
		{"a refresh token", "Bearer " + good.Refresh()},
		{"a changed token", "Bearer " + good.Access() + "x"},
		{"a token of another server", "Bearer " + newAS(t, authtest.ASConfig{}).SignIn("alice").Access()},
		{"a revoked token", "Bearer " + revoked},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := newRequest(t.Context(), "GET", api.URL+"/users/me", "")
			if c.header != "" {
				req.Header.Set("Authorization", c.header)
			}
			a, err := do(api.Transport(), req)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "status", a.status, 401)
			equal(t, "challenge", a.header.Get("WWW-Authenticate"), `Bearer error="invalid_token"`)
		})
	}
	equal(t, "good", get(t, api, "/users/me", good.Access()).status, 200)
	as.Advance(time.Minute)
	equal(t, "expired", get(t, api, "/users/me", good.Access()).status, 401)
	equal(t, "sum", api.Counts().Tally, authtest.Tally{Requests: 9, OK: 1, Unauthorized: 8})
}

func TestTokensCanBeBornExpired(t *testing.T) {
	as := newAS(t, authtest.ASConfig{AccessTTL: -time.Second})
	api := newAPI(t, as)
	token := as.SignIn("alice")
	equal(t, "valid", token.Valid(0), false)
	equal(t, "status", get(t, api, "/users/me", token.Access()).status, 401)
}

func TestRevokeAccess(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	api := newAPI(t, as)
	old := as.SignIn("alice")
	as.RevokeAccess()
	equal(t, "old", get(t, api, "/users/me", old.Access()).status, 401)
	equal(t, "refresh token alive", as.Alive(old.Refresh()), true)
	access, _ := styles[0].refresh(t, as, old.Refresh())
	equal(t, "new", get(t, api, "/users/me", access).status, 200)
	equal(t, "old later", get(t, api, "/users/me", old.Access()).status, 401)
}

func TestRefuse(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	api := newAPI(t, as)
	token := as.SignIn("alice").Access()
	for _, c := range []struct {
		name      string
		how       authtest.Refusal
		status    int
		challenge string
	}{
		{"a good token passes", authtest.Refusal{}, 200, ""},
		{"always is always", authtest.Refusal{Always: true}, 401, `Bearer error="invalid_token"`},
		{"status and challenge can be chosen", authtest.Refusal{Always: true, Status: 403, Challenge: `DPoP`}, 403, `DPoP`},
		{"the challenge can be missing", authtest.Refusal{Always: true, NoChallenge: true}, 401, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			api.Refuse(c.how)
			a := get(t, api, "/users/me", token)
			equal(t, "status", a.status, c.status)
			equal(t, "challenge", a.header.Get("WWW-Authenticate"), c.challenge)
		})
	}
}

// Unless it reads the body, the API answers while that is still on its way.
func TestRefusalAndTheBody(t *testing.T) {
	for _, wire := range []authtest.Wire{authtest.Plain, authtest.HTTP2} {
		as := newAS(t, authtest.ASConfig{Wire: wire})
		api := newAPI(t, as)
		pr, pw := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), "POST", api.URL+"/comments", pr)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := api.Transport().RoundTrip(req) // nothing was written to pw
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "status", resp.StatusCode, 401)
		resp.Body.Close()
		pw.Close()

		api.Refuse(authtest.Refusal{ReadBody: true})
		body := strings.NewReader(strings.Repeat("x", 1<<20))
		req, err = http.NewRequestWithContext(t.Context(), "POST", api.URL+"/comments", body)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err = api.Transport().RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		equal(t, "left of the body", body.Len(), 0)
	}
}

func TestRefusalsComeStaggered(t *testing.T) {
	const n, spread = 5, 10 * time.Millisecond
	as := newAS(t, authtest.ASConfig{})
	api := newAPI(t, as)
	api.Refuse(authtest.Refusal{Spread: spread})
	var wg sync.WaitGroup
	begin := time.Now()
	for range n {
		wg.Go(func() { get(t, api, "/users/me", "bad") })
	}
	wg.Wait()
	if d := time.Since(begin); d < (n-1)*spread {
		t.Errorf("the last came after %s", d)
	}
	api.ResetCounts()
	get(t, api, "/users/me", "bad") // it is the first again
	equal(t, "counts", api.Counts().Tally, authtest.Tally{Requests: 1, Unauthorized: 1})
}

func TestIntercept(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	api := newAPI(t, as)
	token := as.SignIn("alice").Access()
	api.Intercept(authtest.Answer(401, nil, ""))
	equal(t, "status", get(t, api, "/users/me", token).status, 401)
	equal(t, "sum", api.Counts().Tally, authtest.Tally{Requests: 1, Unauthorized: 1})
	api.Intercept(authtest.Cut)
	req := newRequest(t.Context(), "POST", api.URL+"/echo", "")
	if _, err := do(api.Transport(), req); err == nil {
		t.Error("the connection is not cut")
	}
	api.Intercept(nil)
	equal(t, "status", get(t, api, "/users/me", token).status, 200)
}

func TestCountsMixedUpUsers(t *testing.T) {
	as := newAS(t, authtest.ASConfig{AccessTTL: time.Minute})
	api := newAPI(t, as)
	alice := as.SignIn("alice").Access()
	req := func(user string) *http.Request {
		r := newRequest(t.Context(), "GET", api.URL+"/users/me", "")
		r.Header.Set(authtest.UserHeader, user)
		return r
	}
	call(t, api, req("alice"), alice)
	equal(t, "mixed", api.Counts().Mixed, 0)
	call(t, api, req("bob"), alice)
	equal(t, "mixed", api.Counts().Mixed, 1)
	as.RevokeAccess()
	call(t, api, req("bob"), alice)
	equal(t, "mixed, though revoked", api.Counts().Mixed, 2)
}

func TestMixedUpUsersWithExpiredTokens(t *testing.T) {
	as := newAS(t, authtest.ASConfig{AccessTTL: -time.Minute})
	api := newAPI(t, as)
	r := newRequest(t.Context(), "GET", api.URL+"/users/me", "")
	r.Header.Set(authtest.UserHeader, "bob")
	call(t, api, r, as.SignIn("alice").Access())
	equal(t, "mixed", api.Counts().Mixed, 1)
}

func TestAPICountsAreExact(t *testing.T) {
	const users, each = 10, 100
	as := newAS(t, authtest.ASConfig{})
	api := newAPI(t, as)
	api.Transport().MaxConnsPerHost = 50
	var wg sync.WaitGroup
	for u := range users {
		user := fmt.Sprint("user", u)
		token := as.SignIn(user).Access()
		for i := range each {
			wg.Go(func() {
				access := token
				if i%4 == 0 {
					access = "bad"
				}
				get(t, api, fmt.Sprint("/items/", i), access)
			})
		}
	}
	wg.Wait()
	c := api.Counts()
	equal(t, "sum", c.Tally, authtest.Tally{Requests: users * each, OK: users * each * 3 / 4, Unauthorized: users * each / 4})
	equal(t, "of item 0", c.Paths["/items/0"], authtest.Tally{Requests: users, Unauthorized: users})
	equal(t, "of item 1", c.Paths["/items/1"], authtest.Tally{Requests: users, OK: users})
	for user, n := range c.Subjects {
		equal(t, user, n, each*3/4)
	}
	equal(t, "subjects", len(c.Subjects), users)
}

func TestUnknownAuthority(t *testing.T) {
	as := newAS(t, authtest.ASConfig{Wire: authtest.TLS})
	rt := &http.Transport{}
	defer rt.CloseIdleConnections()
	_, err := do(rt, newRequest(t.Context(), "GET", as.JWKSURL(), ""))
	if err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a stranger trusts the certificate: %v", err)
	}
}
