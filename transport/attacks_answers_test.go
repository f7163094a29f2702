package transport_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// T-B21: a server that issues tokens which have ended already, and says that they
// live for long. Each request is sent twice at the most and its last 401 goes to
// the caller; the refresh token is not presented once for each of them.
func TestTokensThatAreBornDead(t *testing.T) {
	for name, config := range map[string]authtest.ASConfig{
		"dead": {AccessTTL: -time.Minute}, "dead within a second": {AccessTTL: time.Second},
	} {
		for _, says := range []any{3600, 1, 0, nil} {
			t.Run(fmt.Sprint(name, ", said to live for ", says), func(t *testing.T) {
				w := newWorld(t, grantStyle, config)
				w.as.Mutate(func(m map[string]any) { m["expires_in"] = says })
				w.api.Refuse(authtest.Refusal{Always: true}) // its clock is ahead
				ctx, cache := w.signIn("ann")
				for range 10 {
					before := w.api.Counts().Requests
					a, err := try(w.client, newRequest(ctx, "GET", w.api.URL+"/users/me", nil))
					if n := w.api.Counts().Requests - before; n > 2 {
						t.Errorf("%d requests for one", n)
					}
					if errors.Is(err, tokencache.ErrLoginRequired) || err == nil && a.status != 401 {
						t.Errorf("%v %d", err, a.status)
					}
				}
				if c := w.as.Counts(); c.Presentations > 3 || c.Reuses > 0 {
					t.Errorf("%+v for ten requests", c)
				}
				if token := cache.Token(); !w.as.Alive(token.Refresh()) {
					t.Error("the session is lost")
				}
			})
		}
	}
}

// T-B23: a server gives less scope than there was. The token is used; that it does
// not cover something is no reason to refresh, now or later.
func TestAScopeThatWasNarrowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32
		c := &tokencache.Coordinator{Refresher: &transport.TokenEndpoint{URL: "https://as.example/", Base: answering(new(int),
			"HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"access-1\",\"refresh_token\":\"refresh-1\",\"scope\":\"read\"}")}}
		rt := &transport.Transport{Origins: []string{"https://api.example"}, Base: baseFunc(func(req *http.Request) (*http.Response, error) {
			requests.Add(1)
			resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: req}
			switch {
			case stale(req):
				resp.StatusCode = 401
			case req.Method == "PUT":
				resp.StatusCode = 403
				resp.Header.Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="read write"`)
			}
			return resp, nil
		})}
		cache := tokencache.New(c, (&issuer{}).token(0))
		ctx := tokencache.NewContext(t.Context(), cache)
		for i, want := range []struct {
			method           string
			status, requests int
		}{{"GET", 200, 2}, {"GET", 200, 3}, {"PUT", 403, 4}, {"PUT", 403, 5}, {"GET", 200, 6}} {
			a := call(t, &http.Client{Transport: rt}, newRequest(ctx, want.method, "https://api.example/", nil))
			wantStatus(t, a, want.status)
			equal(t, fmt.Sprint("requests after ", i+1), int(requests.Load()), want.requests)
			var step *tokencache.StepUpError
			if errors.As(transport.StepUp(a.Response), &step) != (want.status == 403) {
				t.Errorf("%d: %v", i+1, step)
			}
			time.Sleep(time.Minute)
		}
		equal(t, "access token", cache.Token().Access(), "access-1")
	})
}
