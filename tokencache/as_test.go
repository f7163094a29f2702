package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// rotation is what an authorization server does with a refresh token that was
// presented.
type rotation int

const (
	strict   rotation = iota // it works once; a second use ends the session
	grace                    // a second use is answered with another successor
	constant                 // it stays
)

// as is an authorization server that does what it is told to. It is a
// Refresher and a Revoker, and counts what it is asked.
type as struct {
	rotation rotation
	takes    time.Duration // before an answer
	lives    time.Duration // what an access token lives; 0: it does not say

	mu        sync.Mutex
	script    []answer // for the next presentations, instead of an exchange
	presented []string // all refresh tokens, in order
	revoked   []string
	reused    int
	issued    map[string]int // by user
	spent     map[string]bool
	dead      map[string]bool // users
	atOnce    int             // presentations right now
	most      int             // presentations at once, at most
}

// answer is what the server does with one presentation.
type answer func(a *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error)

func (a *as) Refresh(ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
	a.mu.Lock()
	a.presented = append(a.presented, spent.Refresh())
	a.atOnce++
	a.most = max(a.most, a.atOnce)
	how := answer((*as).exchange)
	if len(a.script) > 0 {
		how, a.script = a.script[0], a.script[1:]
	}
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.atOnce--
	}()
	time.Sleep(a.takes)
	return how(a, ctx, spent)
}

func (a *as) exchange(_ context.Context, spent tokencache.Token) (tokencache.Token, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	user := userOf(spent)
	if a.spent[spent.Refresh()] && a.rotation == strict {
		a.reused++
		a.end(user)
	}
	if a.dead[user] {
		return tokencache.Token{}, invalidGrant()
	}
	if a.spent == nil {
		a.spent = map[string]bool{}
	}
	a.spent[spent.Refresh()] = true
	t := a.issue(user)
	if spent.Resource() != "" {
		t = tokencache.NewToken(tokencache.TokenFields{
			Access: t.Access() + "@" + spent.Resource(), Refresh: t.Refresh(), Expiry: t.Expiry(),
		})
	}
	return t, nil
}

func (a *as) end(user string) {
	if a.dead == nil {
		a.dead = map[string]bool{}
	}
	a.dead[user] = true
}

// issue makes the next generation of a user's tokens, such as alice-access-1
// and alice-refresh-1.
func (a *as) issue(user string) tokencache.Token {
	if a.issued == nil {
		a.issued = map[string]int{}
	}
	a.issued[user]++
	t := generation(user, a.issued[user])
	f := tokencache.TokenFields{Access: t.Access(), Refresh: t.Refresh()}
	if a.lives > 0 {
		f.Expiry = time.Now().Add(a.lives)
	}
	if a.rotation == constant {
		f.Refresh = ""
	}
	return tokencache.NewToken(f)
}

// Revoke ends the session of a token.
func (a *as) Revoke(_ context.Context, t tokencache.Token) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked = append(a.revoked, t.Refresh())
	a.end(userOf(t))
	return nil
}

// next says what is done with the next presentations.
func (a *as) next(script ...answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.script = append(a.script, script...)
}

func (a *as) presentations() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.presented)
}

// saw fails the test unless the server saw so many presentations, and no reuse.
func (a *as) saw(t *testing.T, presentations int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.presented) != presentations {
		t.Errorf("%d presentations, want %d: %v", len(a.presented), presentations, a.presented)
	}
	if a.reused != 0 {
		t.Errorf("%d refresh tokens were presented twice: %v", a.reused, a.presented)
	}
}

// fails answers with an error, and leaves the refresh token as it is.
func fails(err error) answer {
	return func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
		return tokencache.Token{}, err
	}
}

// loses makes the exchange, but its answer never arrives.
func loses(a *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
	a.exchange(ctx, spent)
	return hangs(a, ctx, spent)
}

// hangs does nothing for ever.
func hangs(_ *as, ctx context.Context, _ tokencache.Token) (tokencache.Token, error) {
	<-ctx.Done()
	return tokencache.Token{}, &tokencache.Error{Reason: reason.Timeout, Err: ctx.Err()}
}

// after waits before it answers.
func after(d time.Duration, how answer) answer {
	return func(a *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
		time.Sleep(d)
		return how(a, ctx, spent)
	}
}

func invalidGrant() *tokencache.Error {
	return &tokencache.Error{Reason: reason.Refused, Status: 400, Code: "invalid_grant"}
}

func unavailable() *tokencache.Error {
	return &tokencache.Error{Reason: reason.Unavailable, Status: 500}
}

// generation returns a user's nth tokens; the 0th are from the sign-in.
func generation(user string, n int) tokencache.Token {
	return tokencache.NewToken(tokencache.TokenFields{
		Access:  fmt.Sprintf("%s-access-%d", user, n),
		Refresh: fmt.Sprintf("%s-refresh-%d", user, n),
	})
}

// ended returns t with an access token that has ended.
func ended(t tokencache.Token) tokencache.Token {
	return tokencache.NewToken(tokencache.TokenFields{
		Access: t.Access(), Refresh: t.Refresh(), Expiry: time.Now().Add(-time.Second),
	})
}

func userOf(t tokencache.Token) string {
	user, _, _ := strings.Cut(t.Refresh(), "-")
	return user
}

// is fails the test unless a refresh ended with that access token.
func is(t *testing.T, want string, got tokencache.Token, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%v, want %s", err, want)
	} else if got.Access() != want {
		t.Errorf("access token %q, want %q", got.Access(), want)
	}
}

// because fails the test unless err has that reason.
func because(t *testing.T, want reason.Reason, err error) {
	t.Helper()
	var e *tokencache.Error
	if !errors.As(err, &e) || e.Reason != want {
		t.Errorf("%v, want reason %q", err, want)
		return
	}
	if errors.Is(err, tokencache.ErrLoginRequired) != want.Ends() {
		t.Errorf("%v: ErrLoginRequired is %v", err, !want.Ends())
	}
}
