package tokencache

import (
	"context"
	"time"

	"github.com/rebearer/rebearer/internal/reentry"
)

// A session has one refresh token and may have several access tokens: its own,
// and one for each further resource that the user's requests lead to (RFC
// 8707). All of them are one Token, which is looked at from one of them. Each
// exchange brings one access token, and carries the others on to the next
// refresh token.

// Resource returns the resource indicator that the access token is for, "" for
// the session's own.
func (t Token) Resource() string { return t.part().resource }

// For returns the Token as it is for a resource: with the access token for it,
// none if there is none yet, and the session's refresh token. The session's own
// access token is that for "".
func (t Token) For(resource string) Token {
	if t.Resource() == resource {
		return t
	}
	own := t.own()
	if resource == "" || own.s == nil {
		return own
	}
	if v, ok := own.s.others[resource]; ok {
		return Token{v}
	}
	f := own.fields()
	f.Access, f.Issued, f.Expiry = "", time.Time{}, time.Time{}
	v := newToken(f)
	if v.s != nil {
		v.s.resource, v.s.session = resource, own.s
	}
	return v
}

// own returns the Token as it is for the session's own resource.
func (t Token) own() Token {
	if t.s != nil && t.s.session != nil {
		return Token{t.s.session}
	}
	return t
}

// fields takes the Token apart, without what it is for other resources.
func (t Token) fields() TokenFields {
	s := t.part()
	return TokenFields{
		Access: s.access, Refresh: s.refresh, Type: s.typ, Key: s.key, Subject: s.subject,
		Issued: s.issued, Expiry: s.expiry, RefreshExpiry: s.refreshExpiry,
	}
}

// others returns the access tokens for other resources that have not ended.
func (t Token) others() map[string]TokenFields {
	all := map[string]TokenFields{}
	for resource, s := range t.own().part().others {
		if v := (Token{s}); v.Valid(0) {
			all[resource] = v.fields()
		}
	}
	return all
}

// compose makes a Token of the session's own access token and the others.
func compose(f TokenFields, others map[string]TokenFields) Token {
	t := newToken(f)
	if len(others) == 0 || t.s == nil {
		return t
	}
	t.s.others = make(map[string]*secret, len(others))
	for resource, o := range others {
		o.Refresh, o.RefreshExpiry, o.Subject = f.Refresh, f.RefreshExpiry, f.Subject
		v := newToken(o)
		v.s.resource, v.s.session = resource, t.s
		t.s.others[resource] = v.s
	}
	return t
}

// succeed returns the Token that follows when got was issued for what t is for.
func (t Token) succeed(got TokenFields) Token {
	resource, others := t.Resource(), t.others()
	if resource == "" {
		return compose(got, others)
	}
	own := t.own().fields()
	own.Refresh, own.RefreshExpiry, own.Subject = got.Refresh, got.RefreshExpiry, got.Subject
	if own.Key == nil {
		own.Key = got.Key // the refresh token may be bound to it now
	}
	others[resource] = got
	return compose(own, others).For(resource)
}

// A note beside the entry of a refresh token holds the other access tokens that
// there were when it was issued, for the requests that show it one day: they
// bring the session's own.

func (k keys) note() keys { return keys{id: k.id + " others", aead: k.aead} }

// jot writes the note: here at once, for the next request, and in the Store
// while nobody waits.
func (x *exchange) jot(ctx context.Context, t Token) {
	others := t.others()
	if len(others) == 0 {
		return
	}
	k := derive(x.Realm, t.Refresh()).note()
	value := k.seal(record{state: noted, payload: payload{Token: sealable(compose(TokenFields{Refresh: t.Refresh()}, others))}})
	ttl := x.life(others)
	was, _ := x.local.Load(ctx, k.id)
	x.local.Swap(ctx, k.id, was.Version, value, ttl)
	if !x.shared {
		return
	}
	x.aside(func() { x.share(ctx, k, derive(x.Realm, t.Refresh()).id, value, ttl) })
}

// share writes the note in the Store. A logout may have come in between.
func (x *exchange) share(ctx context.Context, k keys, id string, value []byte, ttl time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, x.lease())
	defer cancel()
	if now, ok, err := x.store.Swap(ctx, k.id, "", value, ttl); err == nil && !ok {
		x.store.Swap(ctx, k.id, now.Version, value, ttl)
	}
	if e, err := x.load(ctx, id); err == nil && stateOf(e.Value) == over {
		x.unjot(ctx, id)
	}
}

// unjot removes the note beside the entry of that id.
func (x *exchange) unjot(ctx context.Context, id string) {
	id = keys{id: id}.note().id
	if e, _ := x.local.Load(ctx, id); e.Version != "" {
		x.local.Swap(ctx, id, e.Version, nil, 0)
	}
	if !x.shared {
		return
	}
	if e, err := x.load(ctx, id); err == nil && e.Version != "" {
		ctx, cancel := context.WithTimeout(ctx, x.lease())
		defer cancel()
		x.store.Swap(ctx, id, e.Version, nil, 0)
	}
}

// life is how long one of the tokens may be of use.
func (x *exchange) life(others map[string]TokenFields) time.Duration {
	var last time.Duration
	for _, f := range others {
		if f.Expiry.IsZero() {
			return x.hold()
		}
		last = max(last, time.Until(f.Expiry))
	}
	return max(min(last, x.hold()), time.Second)
}

// gather returns t with what is noted beside its refresh token. Nothing is
// looked for in a process that never asked for another resource.
func (x *exchange) gather(ctx context.Context, t Token) Token {
	own := t.own()
	if !x.several.Load() || own.s == nil || len(own.s.others) > 0 || own.Refresh() == "" {
		return t
	}
	if x.traces.has(own) {
		return t // it moved on, or has ended: the chain tells
	}
	k := derive(x.Realm, own.Refresh()).note()
	e, _ := x.local.Load(ctx, k.id)
	fetched := e.Version == "" && x.shared
	if fetched {
		var err error
		if e, err = x.load(ctx, k.id); err != nil {
			return t
		}
	}
	r, err := k.open(e)
	if err != nil || r.state != noted {
		return t
	}
	others := r.Token.token().others()
	if fetched { // the next request need not ask
		x.local.Swap(ctx, k.id, "", e.Value, min(x.life(others), x.grace()))
	}
	return compose(own.fields(), others).For(t.Resource())
}

// gather looks for an access token for the resource where the Cache has none.
func (c *Cache) gather(ctx context.Context, t Token, resource string) Token {
	v := t.For(resource)
	if c == nil || c.coordinator == nil || resource == "" || v.Refresh() == "" || v.Valid(0) || reentry.Marked(ctx) {
		return v
	}
	c.coordinator.several.Store(true)
	own := t.own()
	found := c.coordinator.begin(claim{spent: own}).gather(reentry.Mark(ctx), own) // one read, which is bounded
	if found.s != own.s {
		c.now.CompareAndSwap(own.s, found.s)
	}
	return found.For(resource)
}
