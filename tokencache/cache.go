package tokencache

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Cache holds the tokens of one incoming request, or of one job: what the
// browser showed, and whatever replaced it since. It is safe for concurrent
// use, holds no request and no writer, and may outlive both. A nil Cache is
// valid and empty.
//
// A Cache does not hear of what others do before its next Refresh or CatchUp.
// It may be kept unused while its session moves on, such as behind a long
// stream: a process that cuts the life of a successor to the Coordinator's
// Grace goes on to remember it for Hold, for the Caches that were there before
// Grace was over. Whoever comes later with the old refresh token is given
// nothing, and it is presented as a thief's is. Other replicas do not know what
// was cut here, nor does this process after a restart. There, the refresh token
// of a Cache that missed Grace has no successor any more, and is presented: see
// [Cache.Accompany].
type Cache struct {
	coordinator *Coordinator
	shown       Token
	now         atomic.Pointer[secret]
	issued      sync.Map // by resource: the last access token that came of an exchange
	failure     atomic.Pointer[error]
	renewing    atomic.Int64 // when the last renewal ahead began, in unix milliseconds
	presented   atomic.Bool
	born        time.Time

	mu    sync.Mutex
	trail []string // the refresh tokens that it has left, the oldest first
}

// New returns the Cache of a request that showed the Token, which may be zero.
func New(c *Coordinator, shown Token) *Cache {
	cache := &Cache{coordinator: c, shown: shown, born: time.Now()}
	cache.now.Store(shown.own().s)
	return cache
}

// Format prints no field: they change while they would be read.
func (c *Cache) Format(f fmt.State, _ rune) { io.WriteString(f, "Cache(…)") }

type cacheKey struct{}

// NewContext returns a context that carries the Cache. Requests that are made
// with it through a Transport are signed with the Cache's tokens.
func NewContext(ctx context.Context, c *Cache) context.Context {
	return context.WithValue(ctx, cacheKey{}, c)
}

// FromContext returns the Cache that ctx carries, or nil.
func FromContext(ctx context.Context) *Cache {
	c, _ := ctx.Value(cacheKey{}).(*Cache)
	return c
}

// Token returns the newest Token, the zero Token if there is none.
func (c *Cache) Token() Token {
	if c == nil {
		return Token{}
	}
	return Token{c.now.Load()}
}

// Changed returns the newest Token, and whether it differs from the one that
// was shown, so that its owner should be given it.
func (c *Cache) Changed() (Token, bool) {
	t := c.Token()
	return t, c != nil && !t.Same(c.shown)
}

// Err returns why the last refresh of this Cache failed; nil if there was none
// or it succeeded. It tells a 401 that ends the session from one that does not.
func (c *Cache) Err() error {
	if c == nil {
		return nil
	}
	if p := c.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Presented reports whether a Refresh or Fresh of this very Cache led an
// exchange that succeeded: at most one Cache has, of all that an exchange
// served. It is false for one that joined somebody else's, or was given a
// successor that was there. Renewals ahead do not count: nobody waits for them.
func (c *Cache) Presented() bool { return c != nil && c.presented.Load() }

// Refresh returns the Token that replaces the spent one: the access token that
// the API rejected, or that has ended. If it was replaced already, the
// replacement is returned without any I/O. For the errors see
// [Coordinator.Refresh].
func (c *Cache) Refresh(ctx context.Context, spent Token) (Token, error) {
	return c.refresh(ctx, spent, claim{})
}

func (c *Cache) refresh(ctx context.Context, spent Token, how claim) (Token, error) {
	if c == nil || c.coordinator == nil {
		return Token{}, ErrNoRefreshToken
	}
	began := c.coordinator.clock()
	now := c.Token().For(spent.Resource())
	if now.answers(spent) {
		how.spent = spent
		c.coordinator.asked(ctx, began, how, outcome{})
		return now, nil
	}
	how.spent, how.shown, how.since, how.trail = now, now.Refresh() == c.shown.Refresh(), c.born, c.way(now)
	out := c.coordinator.refresh(ctx, how)
	defer c.coordinator.asked(ctx, began, how, out)
	if !out.token.IsZero() {
		c.advance(now.own(), out.token.own(), out.path)
	}
	if ctx.Err() == nil && !(how.ahead && out.err != nil) { // nobody feels that one
		err := out.err // or all of out were kept
		c.failure.Store(&err)
	}
	if out.err != nil {
		return Token{}, out.err
	}
	if out.presented {
		c.issued.Store(spent.Resource(), out.token.Access())
		if out.led && !how.ahead { // nobody waits for a renewal ahead
			c.presented.Store(true)
		}
	}
	if newest := c.Token().For(spent.Resource()); newest.Access() != "" && newest.Access() != spent.Access() {
		return newest, nil
	}
	return out.token, nil
}

// answers reports whether t can be returned to one who says that spent does not
// work. The same access token never can: it may only have moved on to another
// refresh token, because one for another resource was issued.
func (t Token) answers(spent Token) bool {
	return t.Access() != "" && t.Access() != spent.Access() && t.Valid(0)
}

// advance replaces the token that was spent, or one on the path that led to next,
// and no other: a late answer never replaces a newer one.
func (c *Cache) advance(spent, next Token, path []string) {
	for {
		now := Token{c.now.Load()}
		older := slices.Contains(path, now.Refresh()) && now.Refresh() != next.Refresh()
		if !older && !now.Same(spent) {
			return
		}
		if c.now.CompareAndSwap(now.s, next.s) {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, refresh := range append([]string{spent.Refresh()}, path...) {
		if refresh != next.Refresh() && !slices.Contains(c.trail, refresh) {
			c.trail = append(c.trail, refresh)
		}
	}
	c.trail = c.trail[max(0, len(c.trail)-maxLinks):] // a job may go on for ever
}

// way returns the refresh tokens that led from the one that was shown to now's.
func (c *Cache) way(now Token) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.trail, now.Refresh()); i >= 0 {
		return slices.Clone(c.trail[:i])
	}
	return slices.Clone(c.trail)
}

// Fresh returns the Token to send now. It waits for a new one if the access
// token has ended, or is being replaced because it was rejected: sending it
// would be in vain. Near the end of its life it starts the renewal in the
// background and waits for nothing.
//
// An error means that no access token works and none could be had. Without a
// refresh token there is nothing to be done, and the Token is returned as it
// is.
func (c *Cache) Fresh(ctx context.Context) (Token, error) { return c.FreshFor(ctx, "") }

// FreshFor is Fresh for a resource other than the session's own: the value of a
// resource parameter (RFC 8707 section 2). Its access token is asked for with
// the session's refresh token when it is wanted for the first time. If empty, it
// is the session's own.
func (c *Cache) FreshFor(ctx context.Context, resource string) (Token, error) {
	t := c.gather(ctx, c.Token(), resource)
	if t.s == nil || t.s.refresh == "" || c.coordinator == nil {
		return t, nil
	}
	if c.coordinator.isDoomed(t.s.access) {
		next, err := c.Refresh(ctx, t)
		if err == nil || ctx.Err() != nil {
			return next, err
		}
		// The refresh failed. The API may still think better of this token
		// than of the call that started the refresh.
	}
	if t.s.header == nil { // none, or none that can be sent
		return c.Refresh(ctx, t)
	}
	if t.s.expiry.IsZero() {
		return t, nil
	}
	now := time.Now()
	switch {
	case !now.Before(t.s.expiry):
		return c.Refresh(ctx, t)
	case now.Add(c.coordinator.window(t)).After(t.s.expiry):
		c.renewAhead(now, t)
	}
	return t, nil
}

// window is how long before its end t is renewed ahead.
func (c *Coordinator) window(t Token) time.Duration {
	if t.s.issued.IsZero() {
		return 0
	}
	return min(c.ahead(), t.s.expiry.Sub(t.s.issued)/2)
}

// renewAhead starts one renewal that nobody waits for. It belongs to no
// request. After a failure the next may start a cooldown later.
func (c *Cache) renewAhead(now time.Time, t Token) {
	began := c.renewing.Load()
	if now.UnixMilli()-began < (c.coordinator.timeout()+c.coordinator.cooldown()).Milliseconds() && began != 0 {
		return
	}
	if !c.renewing.CompareAndSwap(began, now.UnixMilli()) {
		return
	}
	// One for all who show this token; the others find the successor later.
	if _, begun := c.coordinator.aheads.LoadOrStore(t.s.access, nil); begun {
		return
	}
	c.coordinator.work.add()
	go func() {
		defer c.coordinator.work.done()
		defer c.coordinator.aheads.Delete(t.s.access)
		if _, err := c.refresh(context.Background(), t, claim{ahead: true}); err == nil {
			c.renewing.Store(0)
		}
	}()
}

// Rejected notes that the API answered 401 to a Token that this Cache has just
// waited for. It is not refreshed again within the Coordinator's Cooldown:
// another one would fare no better. A Token that was found rather than issued
// may well have ended, so that nothing is noted of it.
func (c *Cache) Rejected(t Token) {
	if c == nil || t.s == nil || t.s.refresh == "" {
		return
	}
	if access, ok := c.issued.Load(t.Resource()); ok && access == t.Access() {
		c.coordinator.rest(t)
	}
}

// rest lets a refresh token alone for a while, and what the access token moves on
// to when another resource has it exchanged. Only this process knows.
func (c *Coordinator) rest(t Token) {
	for _, id := range c.restKeys(t) {
		c.local.Swap(context.Background(), id, "", []byte{0}, c.cooldown())
	}
}

func (x *exchange) resting(ctx context.Context, t Token) bool {
	for _, id := range x.restKeys(t) {
		if e, _ := x.local.Load(ctx, id); e.Version != "" {
			return true
		}
	}
	return false
}

func (c *Coordinator) restKeys(t Token) []string {
	ids := []string{"rest " + t.id(c.Realm) + " " + t.Resource()}
	if t.Access() != "" {
		ids = append(ids, "rest "+idOf(c.Realm, t.Access()))
	}
	return ids
}
