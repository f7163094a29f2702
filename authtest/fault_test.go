package authtest_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
)

// faultCases are tried in both styles. None of them may rotate but those that are
// After, or send the real answer.
var faultCases = []struct {
	name  string
	fault authtest.Fault
	spent bool
	check func(t *testing.T, a answer, err error)
}{
	{"503 happens before the effect", authtest.Answer(503, nil, ""), false, func(t *testing.T, a answer, _ error) {
		equal(t, "status", a.status, 503)
		equal(t, "body", string(a.body), "")
	}},
	{"500 can happen after the effect", authtest.After(authtest.Answer(500, nil, "")), true, func(t *testing.T, a answer, _ error) {
		equal(t, "status", a.status, 500)
	}},
	{"400 is called JSON where it is", authtest.Answer(400, nil, `{"error":"invalid_request"}`), false, func(t *testing.T, a answer, _ error) {
		equal(t, "status", a.status, 400)
		equal(t, "type", a.header.Get("Content-Type"), "application/json")
		equal(t, "error", a.members["error"], any("invalid_request"))
	}},
	{"429 says when to retry", authtest.RetryAfter(429, "7"), false, func(t *testing.T, a answer, _ error) {
		equal(t, "status", a.status, 429)
		equal(t, "Retry-After", a.header.Get("Retry-After"), "7")
	}},
	{"307 leads elsewhere", authtest.Redirect("http://127.0.0.1:1/token"), false, func(t *testing.T, a answer, _ error) {
		equal(t, "status", a.status, 307)
		equal(t, "Location", a.header.Get("Location"), "http://127.0.0.1:1/token")
	}},
	{"a cut connection leaves the token good", authtest.Cut, false, noAnswer},
	{"an answer can be lost after rotation", authtest.After(authtest.Cut), true, noAnswer},
	{"a page of HTML comes with 200", authtest.HTML, false, func(t *testing.T, a answer, _ error) {
		equal(t, "status", a.status, 200)
		equal(t, "type", a.header.Get("Content-Type"), "text/html; charset=utf-8")
		equal(t, "page", strings.HasPrefix(string(a.body), "<!doctype html>"), true)
	}},
	{"nothing comes with 200", authtest.Empty, false, func(t *testing.T, a answer, _ error) {
		equal(t, "status", a.status, 200)
		equal(t, "body", len(a.body), 0)
	}},
	{"JSON without an access token comes with 200", authtest.NoAccessToken, false, func(t *testing.T, a answer, _ error) {
		equal(t, "status", a.status, 200)
		equal(t, "type", a.members["token_type"], any("Bearer"))
		equal(t, "access token", a.members["access_token"], nil)
	}},
	{"truncated JSON looks complete", authtest.Truncate, true, func(t *testing.T, a answer, err error) {
		equal(t, "error", err, nil)
		equal(t, "status", a.status, 200)
		equal(t, "some of it is there", len(a.body) > 0, true)
		equal(t, "JSON", json.Valid(a.body), false)
	}},
	{"a cut body is an error", authtest.CutBody, true, func(t *testing.T, a answer, err error) {
		equal(t, "status", a.status, 200)
		equal(t, "cut", err != nil, true)
	}},
	{"a dripping answer is complete in the end", authtest.Drip(0), true, func(t *testing.T, a answer, err error) {
		equal(t, "error", err, nil)
		equal(t, "JSON", json.Valid(a.body), true)
	}},
	{"10 MB come with 200", authtest.Huge, false, hugeAnswer},
	{"little gzip inflates to 10 MB", authtest.GzipBomb, false, hugeAnswer},
}

func hugeAnswer(t *testing.T, a answer, err error) {
	t.Helper()
	equal(t, "error", err, nil)
	equal(t, "status", a.status, 200)
	equal(t, "huge", len(a.body) > 10<<20, true)
	equal(t, "complete", strings.HasSuffix(string(a.body[len(a.body)-3:]), `x"}`), true)
}

func noAnswer(t *testing.T, _ answer, err error) {
	t.Helper()
	if err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("error: %v, want a broken connection", err)
	}
}

func TestFaults(t *testing.T) {
	for _, wire := range []authtest.Wire{authtest.Plain, authtest.HTTP2} {
		as := newAS(t, authtest.ASConfig{Wire: wire})
		for _, c := range faultCases {
			t.Run(c.name, func(t *testing.T) {
				bothStyles(t, func(t *testing.T, s style) {
					as.ResetCounts()
					token := as.SignIn("alice").Refresh()
					as.FailNext(1, c.fault)
					a, err := s.try(as, token)
					c.check(t, a, err)
					equal(t, "spent", !as.Alive(token), c.spent)
					equal(t, "presentations", as.PresentationsOf(token), 1)
					equal(t, "exchanged", as.Counts().Refreshes == 1, c.spent)
					s.refresh(t, as, as.SignIn("bob").Refresh())
				})
			})
		}
	}
}

func TestGzipBombNeedsNoInvitation(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	as.Fail(authtest.GzipBomb)
	req := styles[0].new(t.Context(), as, "rt_")
	req.Header.Set("Accept-Encoding", "identity")
	a, err := do(as.Transport(), req)
	if err != nil || len(a.body) > 64<<10 {
		t.Fatalf("%d bytes on the wire, %v", len(a.body), err)
	}
	z, err := gzip.NewReader(strings.NewReader(string(a.body)))
	if err != nil {
		t.Fatal(err)
	}
	inflated, err := io.ReadAll(z)
	if err != nil || len(inflated) <= 10<<20 || !json.Valid(inflated) {
		t.Errorf("%d bytes inflated, %v, or no JSON", len(inflated), err)
	}
}

func TestHangEndsWhenTheClientLeaves(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := newAS(t, authtest.ASConfig{})
		token := as.SignIn("alice").Refresh()
		arrived, ended := make(chan bool), make(chan bool)
		as.Fail(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			close(arrived)
			defer close(ended)
			authtest.Hang(w, r, next)
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		_, err := do(as.Transport(), s.new(ctx, as, token))
		equal(t, "canceled", errors.Is(err, context.Canceled), true)
		<-ended
		equal(t, "alive", as.Alive(token), true)
	})
}

func TestDripCanBeLeft(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	ended := make(chan bool)
	as.Fail(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		defer close(ended)
		authtest.Drip(time.Hour)(w, r, next)
	})
	req := styles[0].new(t.Context(), as, as.SignIn("alice").Refresh())
	resp, err := as.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err) // the header comes at once
	}
	resp.Body.Close()
	<-ended
}

func TestGateHoldsTheRequestOrTheAnswer(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(*authtest.Gate) authtest.Fault
		alive bool
	}{
		{"the request", func(g *authtest.Gate) authtest.Fault { return g.Hold }, true},
		{"the answer", func(g *authtest.Gate) authtest.Fault { return authtest.After(g.Hold) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bothStyles(t, func(t *testing.T, s style) {
				as := newAS(t, authtest.ASConfig{})
				gate := authtest.NewGate()
				as.Fail(c.fault(gate))
				token := as.SignIn("alice").Refresh()
				var alive bool
				go func() {
					defer gate.Open()
					<-gate.Arrived()
					alive = as.Alive(token)
				}()
				_, next := s.refresh(t, as, token)
				equal(t, "alive while it is held", alive, c.alive)
				equal(t, "successor alive", as.Alive(next), true)
			})
		})
	}
}

// A fault may let the endpoint run twice, as a proxy that repeats requests.
func TestFaultRepeatsTheRequest(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	as.Fail(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		authtest.After(func(w http.ResponseWriter, r *http.Request, _ http.Handler) { next.ServeHTTP(w, r) })(w, r, next)
	})
	styles[0].refuse(t, as, as.SignIn("alice").Refresh())
	equal(t, "counts", as.Counts(), authtest.Counts{Presentations: 1, Refreshes: 1, Refused: 1, Reuses: 1, MaxInFlight: 1})
}

func TestFailAndFailNext(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	status := func() int {
		a, err := styles[0].try(as, as.SignIn("alice").Refresh())
		if err != nil {
			t.Fatal(err)
		}
		return a.status
	}
	as.Fail(authtest.Answer(500, nil, ""))
	as.FailNext(2, authtest.Answer(501, nil, ""))
	as.FailNext(1, authtest.Answer(502, nil, ""))
	as.FailNext(1, nil)
	for i, want := range []int{501, 501, 502, 200, 500, 500} {
		if got := status(); got != want {
			t.Errorf("refresh %d: %d, want %d", i, got, want)
		}
	}
	as.FailNext(1, authtest.Answer(501, nil, ""))
	as.Fail(nil)
	equal(t, "status", status(), 200)
}

func TestFaultsLeaveOtherRequestsAlone(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	as.Fail(authtest.Cut)
	a, err := do(as.Transport(), formRequest(t.Context(), as.TokenURL(), passwordForm("alice", authtest.Password)))
	if err != nil || a.status != 200 {
		t.Errorf("password grant: %d, %v", a.status, err)
	}
}

func TestFailRevoke(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	token := as.SignIn("alice").Refresh()
	as.FailRevoke(authtest.Answer(503, nil, ""))
	a := revoke(t, as, token)
	equal(t, "status", a.status, 503)
	equal(t, "logout", logout(t, as, token).status, 503)
	equal(t, "alive", as.Alive(token), true)
	equal(t, "revocations", as.Counts().Revocations, 2)
	as.FailRevoke(nil)
	equal(t, "status", revoke(t, as, token).status, 200)
	equal(t, "alive", as.Alive(token), false)
}
