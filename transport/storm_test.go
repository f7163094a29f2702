package transport_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/tokencache"
)

// storm starts n calls at once, each of which says whose it is, and returns how
// long they took.
func storm(t *testing.T, n int, call func(i int) error) time.Duration {
	t.Helper()
	var calls sync.WaitGroup
	var failed atomic.Int32
	start := make(chan struct{})
	for i := range n {
		calls.Go(func() {
			<-start
			if err := call(i); err != nil && failed.Add(1) <= 5 {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	began := time.Now()
	close(start)
	calls.Wait()
	equal(t, "calls that failed", failed.Load(), 0)
	return time.Since(began)
}

// firstTime returns n, and a tenth of it when -count runs the test once more.
func firstTime(t *testing.T, n int) int {
	if _, again := ran.LoadOrStore(t.Name(), true); again {
		return n / 10
	}
	return n
}

var ran sync.Map

func (w *world) callAs(ctx context.Context, user, method string) error {
	var body io.Reader
	if method == "POST" {
		body = strings.NewReader("I am " + user)
	}
	req := newRequest(ctx, method, w.api.URL+"/echo", body)
	req.Header.Set(authtest.UserHeader, user)
	a, err := try(w.client, req)
	switch {
	case err != nil:
		return err
	case a.status != 200 || a.Header.Get(authtest.UserHeader) != user || method == "POST" && a.body != "I am "+user:
		return fmt.Errorf("%s: %d, as %q, %q", user, a.status, a.Header.Get(authtest.UserHeader), a.body)
	}
	return nil
}

// B14, T-D1: the ideal is that every call fails once, there is one refresh, and
// every call is served. What the machine needs for these calls without us is
// measured beside it, with a tenth of them.
func TestStormOf10000OnOneExpiredToken(t *testing.T) {
	n := firstTime(t, 10_000)
	w := newWorld(t, grantStyle, authtest.ASConfig{})
	w.base.MaxConnsPerHost, w.base.MaxIdleConnsPerHost = 16, 16
	token := w.as.SignIn("ann")
	shared, _ := w.show(token)

	raw := w.raw(t, n/10, token.Access())
	began := time.Now()
	if _, err := w.coordinator.Refresh(t.Context(), w.as.SignIn("bob")); err != nil {
		t.Fatal(err)
	}
	refresh := time.Since(began)

	w.as.RevokeAccess()
	w.as.ResetCounts()
	w.api.ResetCounts()
	wall := storm(t, n, func(i int) error {
		ctx := shared
		if i%2 == 0 { // half of them are of one request, half of a request each
			ctx, _ = w.show(token)
		}
		return w.callAs(ctx, "ann", []string{"GET", "POST"}[i/2%2])
	})
	wantPresentations(t, w.as, 1)
	equal(t, "reuses", w.as.Counts().Reuses, 0)
	equal(t, "answers 200", w.api.Counts().OK, n)
	t.Logf("%d calls in %v; ideal %v: all of them fail in %v, one refresh in %v, all are served in %v; sent in vain: %d",
		n, wall, 20*raw+refresh, 10*raw, refresh, 10*raw, w.api.Counts().Unauthorized)
}

// raw returns how long n calls take that need nothing of us.
func (w *world) raw(t *testing.T, n int, access string) time.Duration {
	client := &http.Client{Transport: w.base}
	return storm(t, n, func(i int) error {
		req := newRequest(t.Context(), []string{"GET", "POST"}[i/2%2], w.api.URL+"/echo", strings.NewReader("I am ann"))
		req.Header.Set("Authorization", "Bearer "+access)
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	})
}

// B8: google/go-github#3043
func TestStormOfTwoUsersOnOneTransport(t *testing.T) {
	n := firstTime(t, 10_000)
	w := newWorld(t, grantStyle, authtest.ASConfig{})
	w.base.MaxConnsPerHost, w.base.MaxIdleConnsPerHost = 16, 16
	users := []string{"ann", "bob"}
	contexts := map[string]context.Context{}
	for _, user := range users {
		contexts[user], _ = w.signIn(user)
	}
	var done atomic.Int32
	storm(t, n, func(i int) error {
		if int(done.Add(1))%(n/4) == 0 {
			w.as.RevokeAccess()
		}
		user := users[i%2]
		return w.callAs(contexts[user], user, []string{"GET", "POST"}[i/2%2])
	})
	counts := w.api.Counts()
	equal(t, "requests with somebody else's token", counts.Mixed, 0)
	equal(t, "answers 200", counts.OK, n)
	equal(t, "reuses", w.as.Counts().Reuses, 0)
	if p := w.as.Counts().Presentations; p < 2 || p > 8 {
		t.Errorf("%d presentations", p)
	}
}

// B8: a request that hangs in Base holds up nobody.
func TestNoLockIsHeldWhileARequestIsUnderWay(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-release
		}
		echo(w, r)
	})
	var slow sync.WaitGroup
	for range 3 {
		slow.Go(func() { wantStatus(t, call(t, r.client, newRequest(r.ctx, "GET", r.url+"/slow", nil)), 200) })
	}
	for range 3 {
		<-arrived
	}
	wantStatus(t, r.get(t), 200) // refreshes, and is replayed
	other := tokencache.NewContext(context.Background(), tokencache.New(r.coordinator, r.issuer.token(7)))
	wantStatus(t, call(t, r.client, newRequest(other, "GET", r.url, nil)), 200)
	go func() { // their replays hang, too
		for range 3 {
			<-arrived
		}
	}()
	close(release)
	slow.Wait()
	r.wantRefreshes(t, 1)
}

// B76: a session whose grant is dead.
func TestStormOnADeadGrant(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		w := newWorld(t, s, authtest.ASConfig{Delay: 50 * time.Millisecond})
		token := w.as.SignIn("ann")
		w.as.EndSession(token.Refresh())
		w.as.RevokeAccess()
		ctx, cache := w.show(token)
		w.base.MaxConnsPerHost = 100
		unauthorized := func(int) error {
			a, err := try(w.client, newRequest(ctx, "GET", w.api.URL+"/users/me", nil))
			if err == nil && a.status != 401 {
				err = fmt.Errorf("status %d", a.status)
			}
			return err
		}
		storm(t, 1000, unauthorized)
		for i := range 20 {
			if err := unauthorized(i); err != nil {
				t.Error(err)
			}
		}
		wantPresentations(t, w.as, 1)
		wantReason(t, cache.Err(), "refused")
	})
}
