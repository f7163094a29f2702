//go:build unix

package redisstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/leak"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/tokencache/redisstore"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // Redis is away on purpose
	if os.Getenv(replicaVariable) != "" || os.Getenv(cutOffVariable) != "" {
		os.Exit(m.Run()) // one that stands still is killed, and leaks
	}
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		flag.Set("test.parallel", "4") // most of them wait
	}
	leak.Main(m)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// atOnce runs a test for all rows at the same time, however few processors there
// are: most of them wait.
func atOnce[R any](t *testing.T, rows map[string]R, test func(*testing.T, R)) {
	var all sync.WaitGroup
	defer all.Wait()
	for name, row := range rows {
		all.Go(func() { t.Run(name, func(t *testing.T) { test(t, row) }) })
	}
}

// storeOn returns a Store with a client of its own, which ends with the test.
func storeOn(t testing.TB, addr string, change ...func(*redis.Options)) *redisstore.Store {
	t.Helper()
	o := &redis.Options{Addr: addr}
	for _, f := range change {
		f(o)
	}
	client := redis.NewClient(o)
	s := &redisstore.Store{Client: client}
	t.Cleanup(func() { s.Close(); client.Close() })
	return s
}

// coordinatorOn returns a replica: a Coordinator with a Store of its own. Its
// lease is short.
func coordinatorOn(t testing.TB, addr string, as *authority) *tokencache.Coordinator {
	t.Helper()
	return coordinatorWith(t, storeOn(t, addr), as)
}

func coordinatorWith(t testing.TB, s tokencache.Store, as *authority) *tokencache.Coordinator {
	t.Helper()
	c := &tokencache.Coordinator{Refresher: as, Revoker: as, Store: s, Realm: "test", Lease: lease, Timeout: 5 * time.Second}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := c.Wait(ctx); err != nil {
			t.Errorf("an exchange does not end: %v", err)
		}
	})
	return c
}

// authority is a strict authorization server: each refresh token works once, and
// a second use ends its session.
type authority struct {
	mu        sync.Mutex
	sessions  map[string]*session // by refresh token
	presented map[string]int      // by refresh token
	reused    int
	issued    []string // all tokens, of both kinds
	before    func()   // called before and after an exchange
	after     func()
}

type session struct {
	newest string
	ended  bool
}

// signIn starts a session.
func (a *authority) signIn() tokencache.Token {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.issue(&session{})
}

func (a *authority) issue(s *session) tokencache.Token {
	if a.sessions == nil {
		a.sessions, a.presented = map[string]*session{}, map[string]int{}
	}
	f := tokencache.TokenFields{Access: "access-" + rand.Text(), Refresh: "refresh-" + rand.Text()}
	a.issued = append(a.issued, f.Access, f.Refresh)
	a.sessions[f.Refresh], s.newest = s, f.Refresh
	return tokencache.NewToken(f)
}

// on has functions called around each exchange; either may be nil.
func (a *authority) on(before, after func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.before, a.after = before, after
}

func (a *authority) Refresh(_ context.Context, spent tokencache.Token) (tokencache.Token, error) {
	a.mu.Lock()
	before, after := a.before, a.after
	a.mu.Unlock()
	if before != nil {
		before()
	}
	got, err := a.exchange(spent)
	if after != nil {
		after()
	}
	return got, err
}

func (a *authority) exchange(spent tokencache.Token) (tokencache.Token, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[spent.Refresh()]
	a.presented[spent.Refresh()]++
	if s != nil && s.newest != spent.Refresh() {
		a.reused++
		s.ended = true
	}
	if s == nil || s.ended {
		return tokencache.Token{}, &tokencache.Error{Reason: reason.Refused, Status: 400, Code: "invalid_grant"}
	}
	return a.issue(s), nil
}

// Revoke ends the session of a token.
func (a *authority) Revoke(_ context.Context, t tokencache.Token) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sessions[t.Refresh()]; s != nil {
		s.ended = true
	}
	return nil
}

// saw fails the test unless the token was presented so often, and none of any
// session twice.
func (a *authority) saw(t testing.TB, spent tokencache.Token, presentations int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.presented[spent.Refresh()]; n != presentations || a.reused != 0 {
		t.Errorf("%d presentations, want %d; %d of spent tokens", n, presentations, a.reused)
	}
}

// owner returns the session that a token belongs to.
func (a *authority) owner(t tokencache.Token) *session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sessions[t.Refresh()]
}

func (a *authority) reuses() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reused
}

// isTransient fails the test unless err says that the Store has failed, and
// nothing of the session.
func isTransient(t testing.TB, err error) {
	t.Helper()
	var e *tokencache.Error
	if !errors.As(err, &e) || e.Reason != reason.Store || errors.Is(err, tokencache.ErrLoginRequired) {
		t.Errorf("%v, want reason %q", err, reason.Store)
	}
}

// recovers tries until the refresh succeeds, as a browser would. What fails until
// then must be transient.
func recovers(t testing.TB, c *tokencache.Coordinator, spent tokencache.Token) (got tokencache.Token, took time.Duration) {
	t.Helper()
	const patience = 20 * time.Second
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		got, err := c.Refresh(t.Context(), spent)
		if err == nil {
			return got, time.Since(began)
		}
		if isTransient(t, err); t.Failed() || time.Since(began) > patience {
			t.Fatalf("no recovery after %v: %v", time.Since(began), err)
		}
	}
}

// livesOn fails the test unless the session can be refreshed.
func livesOn(t testing.TB, c *tokencache.Coordinator, as *authority, newest tokencache.Token) tokencache.Token {
	t.Helper()
	next, err := c.Refresh(t.Context(), newest)
	if err != nil {
		t.Fatalf("the session does not live on: %v", err)
	}
	as.saw(t, newest, 1)
	return next
}

// eventually fails the test unless it becomes true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("it did not come to pass that %s", what)
		}
	}
}

// cutOffVariable is for the processes of partition_linux_test.go.
const cutOffVariable = "REDISSTORE_CUT_OFF"
