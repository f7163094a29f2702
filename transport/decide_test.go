package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/transport"
)

// newBubble returns a rig without a server, for the fake clock of a
// synctest.Test: api returns the status that a request is answered with.
func newBubble(t *testing.T, api func(*http.Request) int) *rig {
	r := &rig{issuer: &issuer{}, url: "https://api.example"}
	r.coordinator = &tokencache.Coordinator{Refresher: r.issuer}
	settle(t, r.coordinator)
	r.transport = &transport.Transport{Origins: []string{r.url}, Base: baseFunc(func(req *http.Request) (*http.Response, error) {
		status := api(req)
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}, req.Context().Err()
	})}
	r.client = &http.Client{Transport: r.transport}
	r.cache = tokencache.New(r.coordinator, r.issuer.token(0))
	r.ctx = tokencache.NewContext(t.Context(), r.cache)
	return r
}

func staleOnly(req *http.Request) int {
	if stale(req) {
		return http.StatusUnauthorized
	}
	return http.StatusOK
}

// B11, B13, B19, T-C1 to T-C6: what is answered to a token that another would
// stand in for, and what is not.
func TestWhatIsRefreshed(t *testing.T) {
	const invalid = `Bearer error="invalid_token"`
	for _, test := range []struct {
		name       string
		status     int
		challenges []string
		refreshed  bool
	}{
		{"401 invalid_token", 401, []string{invalid}, true},
		{"401 without a challenge", 401, nil, true},
		{"401 with a challenge of its own", 401, []string{`Bearer error="request_unauthorized"`}, true},
		{"401 with an unknown scheme", 401, []string{"FooBar realm=x"}, true},
		{"401 with no scheme at all", 401, []string{`="", ,=`}, true},
		{"401 with several challenges in one line", 401, []string{`Basic realm="a, Bearer b", Bearer realm="c\"d", error="invalid_token"`}, true},
		{"401 with several challenges in two lines", 401, []string{"Negotiate", invalid}, true},
		{"401 with 64 KiB of it", 401, []string{strings.Repeat(`Bearer x="y", `, 64<<10/14)}, true},
		{"401 with bad quoting", 401, []string{`Bearer error="invalid_token`}, true},
		{"401 that is only about Basic", 401, []string{`Basic realm="x"`}, false},
		{"401 that is only about Negotiate", 401, []string{"Negotiate"}, false},
		{"401 insufficient_scope", 401, []string{`Bearer error="insufficient_scope", scope="a b"`}, false},
		{"401 insufficient_user_authentication", 401, []string{`Bearer error="insufficient_user_authentication", acr_values="x"`}, false},
		{"401 that wants a DPoP nonce", 401, []string{`DPoP error="use_dpop_nonce"`}, false},
		{"403", 403, []string{invalid}, false},
		{"403 insufficient_scope", 403, []string{`Bearer error="insufficient_scope"`}, false},
		{"407", 407, []string{invalid}, false},
		{"400", 400, []string{invalid}, false},
		{"200", 200, []string{invalid}, false},
		{"500", 500, []string{invalid}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var requests atomic.Int32
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				if !stale(r) {
					return
				}
				w.Header()["Www-Authenticate"] = test.challenges
				w.WriteHeader(test.status)
				io.WriteString(w, "body")
			})
			a := r.get(t)
			if test.refreshed {
				wantStatus(t, a, 200)
				equal(t, "requests", requests.Load(), 2)
				r.wantRefreshes(t, 1)
				return
			}
			wantStatus(t, a, test.status)
			equal(t, "body", a.body, "body")
			equal(t, "requests", requests.Load(), 1)
			r.wantRefreshes(t, 0)
		})
	}
}

// B13, T-C2, T-C3: RFC 9470 section 3, RFC 6750 section 3.1
func TestAStepUpIsATypedError(t *testing.T) {
	for _, test := range []struct {
		name, challenge string
		status          int
		want            *tokencache.StepUpError
	}{
		{"stronger and younger", `Bearer error="insufficient_user_authentication", acr_values="gold silver", max_age="60"`, 401,
			&tokencache.StepUpError{Code: "insufficient_user_authentication", ACRValues: []string{"gold", "silver"}, MaxAge: time.Minute}},
		{"at this moment", `Bearer error="insufficient_user_authentication", max_age=0`, 401,
			&tokencache.StepUpError{Code: "insufficient_user_authentication"}},
		{"no age", `Bearer error="insufficient_user_authentication"`, 401,
			&tokencache.StepUpError{Code: "insufficient_user_authentication", MaxAge: -1}},
		{"more scope", `Bearer error="insufficient_scope", scope="read write"`, 403,
			&tokencache.StepUpError{Code: "insufficient_scope", Scope: []string{"read", "write"}, MaxAge: -1}},
		{"a dead token", `Bearer error="invalid_token"`, 401, nil},
		{"no challenge", "", 403, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", test.challenge)
				w.WriteHeader(test.status)
			})
			a := r.get(t)
			wantStatus(t, a, test.status)
			err := transport.StepUp(a.Response)
			var got *tokencache.StepUpError
			errors.As(err, &got)
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

// B12, T-C7
func TestTheSecond401GoesToTheCallerUnread(t *testing.T) {
	var requests atomic.Int32
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
		if stale(r) {
			return
		}
		io.WriteString(w, "second")
		w.(http.Flusher).Flush()
		<-r.Context().Done() // whoever reads to the end would wait for ever
	})
	resp, err := r.transport.RoundTrip(newRequest(r.ctx, "GET", r.url, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	equal(t, "status", resp.StatusCode, 401)
	body := make([]byte, len("second"))
	if _, err := io.ReadFull(resp.Body, body); err != nil || string(body) != "second" {
		t.Errorf("%q, %v", body, err)
	}
	equal(t, "requests", requests.Load(), 2)
	r.wantRefreshes(t, 1)
}

// B14, T-D1: a plain singleflight makes about ten.
func TestTwenty401sThatComeOneAfterTheOtherPresentOnce(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		w := newWorld(t, s, authtest.ASConfig{Delay: 30 * time.Millisecond})
		token := w.as.SignIn("ann")
		w.as.RevokeAccess()
		w.api.Refuse(authtest.Refusal{Spread: 20 * time.Millisecond})
		shared, _ := w.show(token)
		var calls sync.WaitGroup
		for i := range 20 {
			ctx := shared // of one request, or of one each: tabs of a browser
			if i%2 == 0 {
				ctx, _ = w.show(token)
			}
			calls.Go(func() { wantStatus(t, w.get(t, ctx, "/items/1"), 200) })
		}
		calls.Wait()
		wantPresentations(t, w.as, 1)
		equal(t, "answers 200", w.api.Counts().OK, 20)
	})
}

// B15, T-C8: a 401 that arrives when the refresh is over.
func TestALate401FindsTheReplacement(t *testing.T) {
	for name, cache := range map[string]func(*rig) *tokencache.Cache{
		"of the same request": func(r *rig) *tokencache.Cache { return r.cache },
		"of another request":  func(r *rig) *tokencache.Cache { return tokencache.New(r.coordinator, r.issuer.token(0)) },
	} {
		t.Run(name, func(t *testing.T) {
			arrived, answer := make(chan struct{}), make(chan struct{})
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/late" && stale(r) {
					close(arrived)
					<-answer
				}
				echo(w, r)
			})
			late := make(chan answerOrError)
			go func() {
				ctx := tokencache.NewContext(context.Background(), cache(r))
				a, err := try(r.client, newRequest(ctx, "GET", r.url+"/late", nil))
				late <- answerOrError{a, err}
			}()
			<-arrived
			wantStatus(t, r.get(t), 200)
			r.wantRefreshes(t, 1)
			close(answer)
			if got := <-late; got.err != nil || got.status != 200 {
				t.Errorf("%d, %v", got.status, got.err)
			}
			r.wantRefreshes(t, 1)
		})
	}
}

type answerOrError struct {
	answer
	err error
}

// B16
func TestTheSameTokenAgainIsNotReplayed(t *testing.T) {
	var requests atomic.Int32
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { requests.Add(1); unauthorized(w) })
	r.coordinator.Refresher = refresherFunc(func(context.Context, tokencache.Token) (tokencache.Token, error) {
		return tokencache.NewToken(tokencache.TokenFields{Access: "access-0", Refresh: "refresh-1"}), nil
	})
	a := r.get(t)
	wantStatus(t, a, 401)
	equal(t, "body", a.body, "who are you?")
	equal(t, "requests", requests.Load(), 1)
}

// B17
func TestAnAPIThatAlwaysRefusesCostsOneRefreshPerCooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		r := newBubble(t, func(*http.Request) int { requests++; return 401 })
		for call, want := range []int{2, 3, 4, 5} { // one replay, in the first call
			wantStatus(t, r.get(t), 401)
			equal(t, fmt.Sprint("requests after call ", call), requests, want)
			r.wantRefreshes(t, 1)
		}
		var e *tokencache.Error
		if !errors.As(r.cache.Err(), &e) || e.Reason != reason.Rejected || e.Reason.Ends() {
			t.Errorf("%v", r.cache.Err())
		}
		time.Sleep(time.Second)
		wantStatus(t, r.get(t), 401)
		r.wantRefreshes(t, 2)
	})
}

// B13, B17: a 401 to the replay that asks for a step-up does not blame the token.
func TestAStepUpAfterTheReplayDelaysNoRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBubble(t, nil)
		var challenge string
		r.transport.Base = baseFunc(func(req *http.Request) (*http.Response, error) {
			if req.Header.Get("Authorization") == "Bearer access-2" {
				return &http.Response{StatusCode: 200}, nil
			}
			h := http.Header{}
			if !stale(req) && challenge != "" {
				h.Set("WWW-Authenticate", challenge)
			}
			return &http.Response{StatusCode: 401, Header: h}, nil
		})
		challenge = `Bearer error="insufficient_user_authentication"`
		wantStatus(t, r.get(t), 401)
		challenge = ""
		wantStatus(t, r.get(t), 200)
		r.wantRefreshes(t, 2)
	})
}

// B18, T-D9
func TestAFailedRefreshIsSharedUntilTheCooldownEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBubble(t, staleOnly)
		down := true
		r.issuer.before = func(context.Context) error {
			time.Sleep(50 * time.Millisecond)
			if down {
				return &tokencache.Error{Reason: reason.Unavailable, Status: 503}
			}
			return nil
		}
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() { wantStatus(t, r.get(t), 401) })
		}
		calls.Wait()
		wantStatus(t, r.get(t), 401)
		r.wantRefreshes(t, 1)
		down = false
		time.Sleep(time.Second)
		wantStatus(t, r.get(t), 200)
		r.wantRefreshes(t, 2)
	})
}

// B77
func TestNothingIsSentWithATokenThatIsBeingReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests, refused atomic.Int32
		r := newBubble(t, func(req *http.Request) int {
			requests.Add(1)
			if stale(req) {
				refused.Add(1)
			}
			return staleOnly(req)
		})
		release := make(chan struct{})
		r.issuer.before = func(context.Context) error { <-release; return nil }
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() { wantStatus(t, r.get(t), 200) })
			synctest.Wait() // the first one has met its 401, the others wait
		}
		equal(t, "requests while the exchange is in flight", requests.Load(), 1)
		close(release)
		calls.Wait()
		equal(t, "requests with the old token", refused.Load(), 1)
		equal(t, "requests", requests.Load(), 21)
		r.wantRefreshes(t, 1)
	})
}

// B34
func TestAFailureToRenewAheadIsNotFeltWhileTheTokenLives(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		for name, fault := range map[string]authtest.Fault{
			"500": authtest.Answer(500, nil, ""), "reset": authtest.Cut, "429": authtest.RetryAfter(429, "7"), "HTML": authtest.HTML,
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, s, authtest.ASConfig{})
				token := w.as.SignIn("ann")
				w.as.Fail(fault)
				old := tokencache.NewToken(tokencache.TokenFields{
					Access: token.Access(), Refresh: token.Refresh(),
					Issued: time.Now().Add(-time.Hour), Expiry: time.Now().Add(20 * time.Second),
				})
				ctx, cache := w.show(old)
				wantStatus(t, w.get(t, ctx, "/users/me"), 200)
				w.coordinator.Wait(t.Context())
				wantStatus(t, w.get(t, ctx, "/users/me"), 200)
				wantPresentations(t, w.as, 1)
				if err := cache.Err(); err != nil { // nobody had to wait for it
					t.Errorf("%v", err)
				}
			})
		}
	})
}

// B34: without a token that works there is no answer to return.
func TestATokenThatHasEndedIsNotSentAndNoneIsAnError(t *testing.T) {
	w := newWorld(t, grantStyle, authtest.ASConfig{})
	token := w.as.SignIn("ann")
	w.as.Fail(authtest.Answer(503, nil, ""))
	ctx, _ := w.show(tokencache.NewToken(tokencache.TokenFields{
		Access: token.Access(), Refresh: token.Refresh(), Expiry: time.Now().Add(-time.Second),
	}))
	_, err := try(w.client, newRequest(ctx, "GET", w.api.URL+"/users/me", nil))
	var e *tokencache.Error
	if !errors.As(err, &e) || e.Reason != reason.Unavailable || errors.Is(err, tokencache.ErrLoginRequired) {
		t.Errorf("%v", err)
	}
	equal(t, "requests", w.api.Counts().Requests, 0)
}

// B81: the refresh token may be scoped to another path.
func TestWithoutARefreshTokenThe401GoesBack(t *testing.T) {
	w := newWorld(t, grantStyle, authtest.ASConfig{})
	token := w.as.SignIn("ann")
	w.as.RevokeAccess()
	ctx, cache := w.show(tokencache.NewToken(tokencache.TokenFields{Access: token.Access()}))
	a := w.get(t, ctx, "/users/me")
	wantStatus(t, a, 401)
	if !strings.Contains(a.body, "Unauthorized") || !errors.Is(cache.Err(), tokencache.ErrNoRefreshToken) {
		t.Errorf("%q, %v", a.body, cache.Err())
	}
	wantPresentations(t, w.as, 0)
}

// T-C10: a server that calls a dead token something else.
func TestWhatUnauthorizedMeansCanBeSaid(t *testing.T) {
	var requests atomic.Int32
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if stale(r) {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	wantStatus(t, r.get(t), 403)
	r.wantRefreshes(t, 0)
	r.transport.Unauthorized = func(resp *http.Response) bool { return resp.StatusCode == 403 }
	wantStatus(t, r.get(t), 200)
	r.wantRefreshes(t, 1)
	equal(t, "requests", requests.Load(), 3)
}

// T-J1: it is told which request was answered, so it can also forbid.
func TestAMethodCanBeExcludedFromReplay(t *testing.T) {
	r := newRig(t, echo)
	r.transport.Unauthorized = func(resp *http.Response) bool {
		return resp.StatusCode == 401 && resp.Request.Method != "POST"
	}
	wantStatus(t, call(t, r.client, newRequest(r.ctx, "POST", r.url, strings.NewReader("x"))), 401)
	r.wantRefreshes(t, 0)
	wantStatus(t, r.get(t), 200)
}
