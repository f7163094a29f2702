package tokencache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/internal/reentry"
	"github.com/rebearer/rebearer/tokencache/event"
	"github.com/rebearer/rebearer/tokencache/reason"
	"golang.org/x/sync/singleflight"
)

// Refresher exchanges a refresh token for its successor, by one request to the
// authorization server. Package transport has two.
//
// It is called by a [Coordinator] only, with a context that carries nothing of
// any request, and must return when that context ends. What is known about a
// failure is said with an [*Error]. The text of any other error must hold no
// token; one that quotes what was presented is withheld. In the returned Token an empty refresh
// token means that the old one stays (RFC 6749 section 6).
type Refresher interface {
	Refresh(ctx context.Context, spent Token) (Token, error)
}

// Revoker ends a grant at the authorization server (RFC 7009). An unknown
// token is no error; not having told the server is one, since nil confirms the
// end.
type Revoker interface {
	Revoke(ctx context.Context, t Token) error
}

// Coordinator sees to it that a refresh token is presented at most once,
// however many goroutines, requests and replicas hold it.
//
// Its zero value works but for the Refresher. There must be one Coordinator
// for each authorization server and client: two of them with no shared Store
// know nothing of each other. It is safe for concurrent use and must not be
// copied after first use. Its fields must not be changed after first use.
type Coordinator struct {
	// Refresher presents refresh tokens. If nil, every Refresh fails with
	// reason.Configuration.
	Refresher Refresher
	// Revoker ends grants. If nil, Revoke only marks the session as over.
	Revoker Revoker

	// Store is shared with other replicas. If nil, what this process has
	// exchanged is kept in its memory, at most 64 MiB. With a Store that
	// memory is for what the Store did not take, and for what this process
	// has cut to Grace.
	Store Store
	// Realm names the issuer and the client, such as
	// "https://as.example.com my-client". All replicas must use the same. It
	// keeps equal tokens of different issuers apart. It is required with a
	// Store.
	Realm string

	// Timeout bounds one presentation. If zero, 10 s.
	Timeout time.Duration
	// Lease is how long a replica that has died or stalls may keep others
	// waiting, and a few times that where the Store fails, or takes more than a
	// tenth of it to answer. It is renewed at a third of its length while the
	// exchange runs, so it needs no relation to Timeout. If zero, 3 s.
	Lease time.Duration
	// Hold is how long a successor is kept for a browser that may not have
	// received it. If zero, 24 h.
	Hold time.Duration
	// Grace is how long it is still kept once the browser has shown it and it
	// was exchanged in turn, for requests with the old cookies that were on
	// their way. If zero, 60 s.
	Grace time.Duration
	// Ahead is how long before its end an access token is renewed in the
	// background, though never in the first half of its life. If zero, 30 s;
	// if negative, never.
	Ahead time.Duration
	// Cooldown is how long a failure is shared before the next presentation.
	// It doubles with each failure in a row, up to eight times. If zero, 1 s.
	Cooldown time.Duration
	// MaxInFlight bounds the presentations of this process at one time; the
	// rest waits for up to Timeout, before a Timeout of its own begins. If
	// zero, 64.
	MaxInFlight int

	// AloneWhenStoreFails refreshes without the Store when that cannot be
	// reached. Dangerous: two replicas that do so present one token twice,
	// which most authorization servers take for theft.
	AloneWhenStoreFails bool

	// Log gets one record for each exchange and each end of a session, with
	// its reason and never a token. If nil, nothing is logged.
	Log *slog.Logger
	// Observe is told of all that a refresh does, once it has ended: see package
	// event. It is called by whoever did it, and must not block; what it panics
	// with is dropped. Its context leads to no exchange. If nil, nobody is told.
	Observe func(ctx context.Context, e event.Event)

	local   MemoryStore // the Store if there is none, and what it did not take
	flights singleflight.Group
	leads   leads
	work    gauge
	paused  atomic.Pointer[time.Time] // until then
	once    sync.Once
	slots   chan struct{}

	// doomed holds the access tokens that are being replaced because they no
	// longer work; dooming counts them, so that the happy path reads one word.
	doomed  sync.Map
	dooming atomic.Int64
	aheads  sync.Map // the access tokens that are being renewed ahead
	traces  traces
	several atomic.Bool // access tokens for several resources are asked for
}

// Format prints no field: they change while they would be read, and those of a
// Refresher may be secret.
func (c *Coordinator) Format(f fmt.State, _ rune) { io.WriteString(f, "Coordinator(…)") }

func or[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

func (c *Coordinator) timeout() time.Duration  { return or(c.Timeout, 10*time.Second) }
func (c *Coordinator) lease() time.Duration    { return or(c.Lease, 3*time.Second) }
func (c *Coordinator) hold() time.Duration     { return or(c.Hold, 24*time.Hour) }
func (c *Coordinator) grace() time.Duration    { return or(c.Grace, time.Minute) }
func (c *Coordinator) ahead() time.Duration    { return or(c.Ahead, 30*time.Second) }
func (c *Coordinator) cooldown() time.Duration { return or(c.Cooldown, time.Second) }

// patience is how long storing a successor, or hearing of one, is tried on
// after a presentation began.
func (c *Coordinator) patience() time.Duration { return c.timeout() + 5*time.Second }

// Refresh returns the successor of a token that no longer works. Whoever
// exchanged it, and when, does not matter: the token is presented to the
// authorization server only if nobody has done so. The successor is for the
// same resource as the spent token; see [Token.For].
//
// The exchange does not end with ctx: it belongs to no caller, and its result
// is kept even if nobody waits for it any more. A caller whose ctx ends
// returns at once with an error that is ctx.Err(). All other errors are
// [ErrNoRefreshToken], [ErrReentrant] or an [*Error].
func (c *Coordinator) Refresh(ctx context.Context, spent Token) (Token, error) {
	how, began := claim{spent: spent, shown: true}, c.clock()
	out := c.refresh(ctx, how)
	c.asked(ctx, began, how, out)
	if out.err != nil {
		return Token{}, out.err
	}
	return out.token, nil
}

// Wait returns when no exchange and no revocation is in flight, or ctx's error
// when that ends first. Call it after http.Server.Shutdown, so that the last
// successors are stored before the process exits.
func (c *Coordinator) Wait(ctx context.Context) error {
	return c.work.wait(ctx)
}

// outcome is what a flight ends with.
type outcome struct {
	// token is the newest one that is known, also beside an error: it is what
	// the browser should hold.
	token     Token
	path      []string // the refresh tokens that led to it, the oldest first
	presented bool     // by this flight
	led       bool     // by the one who reads this, rather than joined
	exchange  *event.Exchange
	err       error
}

// claim is a request for the successor of a token.
type claim struct {
	spent Token
	shown bool // the token came from its owner, rather than by adoption
	ahead bool // the access token still works
	// since is when the Cache was made that asks; zero if none does. It opens
	// the past to those who were there; see recall.
	since time.Time
	// trail are the refresh tokens that led from what was shown to the spent
	// one, the oldest first.
	trail []string
}

// refresh joins or starts the flight of a refresh token, for one resource.
// Flights for several of them meet at the refresh token's entry.
func (c *Coordinator) refresh(ctx context.Context, how claim) outcome {
	spent := how.spent
	switch {
	case reentry.Marked(ctx):
		return outcome{err: ErrReentrant}
	case spent.Refresh() == "":
		return outcome{err: ErrNoRefreshToken}
	case c.Refresher == nil:
		return outcome{err: &Error{Reason: reason.Configuration, Err: errors.New("the Coordinator has no Refresher")}}
	case c.Store != nil && c.Realm == "":
		return outcome{err: &Error{Reason: reason.Configuration, Err: errors.New("a Coordinator with a Store needs a Realm")}}
	case ctx.Err() != nil:
		return outcome{err: left(ctx)}
	}
	id := spent.id(c.Realm)
	flight := id
	if _, ok := c.recall(id, how.since); ok {
		flight = pastKey(id) // whoever may not see the past must not join
	}
	flight += " " + spent.Resource()
	var out outcome
	// A flight may be under way for another access token of this session, and
	// find that what we call spent replaces it, or bring one that is older than
	// ours. Then ours is the next.
	for range 3 {
		out = c.join(ctx, flight, how)
		if out.err != nil || out.presented && out.led || !out.token.stale(spent) {
			break
		}
	}
	if out.err != nil && out.token.replaces(spent) {
		// The exchange failed, but what it began with is news to this caller.
		out.err, out.presented = nil, false
	}
	return out
}

func left(ctx context.Context) error {
	return fmt.Errorf("rebearer: waiting for a refresh: %w", ctx.Err())
}

// doom marks the access token as about to be replaced; see isDoomed.
func (c *Coordinator) doom(access string) (undo func()) {
	if access == "" {
		return func() {}
	}
	if _, loaded := c.doomed.LoadOrStore(access, nil); loaded {
		return func() {}
	}
	c.dooming.Add(1)
	return func() {
		c.doomed.Delete(access)
		c.dooming.Add(-1)
	}
}

// isDoomed reports whether the access token was rejected, or has ended, and
// its replacement is in flight: sending it would be in vain.
func (c *Coordinator) isDoomed(access string) bool {
	if c.dooming.Load() == 0 {
		return false
	}
	_, ok := c.doomed.Load(access)
	return ok
}

// slot takes one of the MaxInFlight places.
func (c *Coordinator) slot() (release func(), err *Error) {
	c.vacant()
	release = func() { <-c.slots }
	select {
	case c.slots <- struct{}{}:
		return release, nil
	default:
	}
	timer := time.NewTimer(c.timeout())
	defer timer.Stop()
	select {
	case c.slots <- struct{}{}:
		return release, nil
	case <-timer.C:
		return nil, &Error{Reason: reason.Overloaded, RetryAfter: c.cooldown(), Unsent: true}
	}
}

// vacant reports whether one is free.
func (c *Coordinator) vacant() bool {
	c.once.Do(func() { c.slots = make(chan struct{}, max(1, or(c.MaxInFlight, 64))) })
	return len(c.slots) < cap(c.slots)
}

// maxPause caps what an authorization server can ask for with Retry-After.
const maxPause = 5 * time.Minute

func (c *Coordinator) pause(d time.Duration) {
	until := time.Now().Add(min(d, maxPause))
	for {
		was := c.paused.Load()
		if was != nil && was.After(until) || c.paused.CompareAndSwap(was, &until) {
			return
		}
	}
}

// pausing returns an error while the authorization server wants to be left
// alone.
func (c *Coordinator) pausing() *Error {
	until := c.paused.Load()
	if until == nil {
		return nil
	}
	rest := time.Until(*until)
	if rest <= 0 {
		return nil
	}
	return &Error{Reason: reason.RateLimited, RetryAfter: rest, Unsent: true}
}
