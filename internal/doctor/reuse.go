package doctor

import (
	"context"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// chain is the session that is used up to see what becomes of its old tokens.
type chain struct {
	oldest  tokencache.Token // the first one
	after   tokencache.Token // what that was exchanged for
	before  tokencache.Token // the one before the newest
	newest  tokencache.Token
	looks   string // the session, for people
	refused bool   // a second use was
}

// reuse is the one check that does what a thief would.
func (d *Doctor) reuse(ctx context.Context, t tokencache.Token) {
	r := &d.report.Refresh
	r.SecondUse, r.Old = notTried, notTried
	o, ok := d.first(ctx, "session 1", t)
	if !ok {
		return
	}
	c := &chain{oldest: t, after: o.successor(t), looks: "session 1"}
	if c.after.Refresh() == t.Refresh() {
		d.unrotated(ctx, c)
		return
	}
	r.Rotates = yes
	second := d.present(ctx, c.after)
	if !second.ok() {
		d.warn("The second refresh of a session failed (%s): nothing more was tried.", second.answer)
		return
	}
	c.before, c.newest = c.after, second.successor(c.after)
	d.old(ctx, c.before, c.newest)
	if !d.secondUse(ctx, c) {
		return
	}
	if c.refused {
		r.AfterSecondUse = d.newest(ctx, c)
		if r.AfterSecondUse != Lives { // then there is nothing left to try
			r.Family = r.AfterSecondUse
			return
		}
	}
	d.older(ctx, c)
}

// unrotated presents a token again that was not replaced.
func (d *Doctor) unrotated(ctx context.Context, c *chain) {
	r := &d.report.Refresh
	again := d.present(ctx, c.oldest)
	switch {
	case again.ok():
		r.Rotates, r.SecondUse = no, "another access token"
		d.old(ctx, c.after, again.successor(c.oldest))
	case again.refused():
		r.Rotates, r.SecondUse = unknown, Refused
		d.dead("a token that was used once", again)
		d.warn("An answer that names no new refresh token, and then the old one is refused (%s): the session cannot be refreshed a second time.", again.answer)
	default:
		r.Rotates = unknown
	}
}

// secondUse presents the token before the newest: at once and, as long as that
// is answered, again after each delay, each time with another generation, since
// on some servers each second use counts as one. It reports whether it found
// out.
func (d *Doctor) secondUse(ctx context.Context, c *chain) bool {
	r := &d.report.Refresh
	for i, delay := range append([]time.Duration{0}, delays(d.config.GraceLimit)...) {
		if i > 0 {
			d.say("%s: a second use is answered. The next one in %v", c.looks, delay)
			next := d.present(ctx, c.newest)
			if !next.ok() {
				d.warn("What a second use had brought was refused (%s).", next.answer)
				d.dead("what a second use had brought", next)
				return false
			}
			c.before, c.newest = c.newest, next.successor(c.newest)
			if d.config.Wait(ctx, delay) != nil {
				return false
			}
		}
		o := d.present(ctx, c.before)
		switch {
		case o.ok():
			r.Grace = Seconds(delay)
			if i == 0 {
				r.SecondUse = same(o, c.newest)
			}
			c.newest = o.successor(c.before)
		case o.refused():
			c.refused, r.Over = true, Seconds(delay)
			if i == 0 {
				r.SecondUse = Refused
			}
			d.dead("a spent token", o)
			r.Old = o.answer.String()
			return true
		default:
			d.warn("A second use had no clear answer (%s).", o.answer)
			return false
		}
	}
	return true
}

func same(o outcome, as tokencache.Token) string {
	if o.next.Refresh() == "" || o.next.Refresh() == as.Refresh() {
		return SamePair
	}
	return AnotherPair
}

// newest presents the newest token, and says what became of it.
func (d *Doctor) newest(ctx context.Context, c *chain) string {
	o := d.present(ctx, c.newest)
	switch {
	case o.ok():
		c.newest = o.successor(c.newest)
		return Lives
	case o.refused():
		d.dead("the newest token, after an old one was presented", o)
		return Dies
	}
	return unknown
}

// older presents the first token of all, from which others have come since.
func (d *Doctor) older(ctx context.Context, c *chain) {
	r := &d.report.Refresh
	o := d.present(ctx, c.oldest)
	switch {
	case o.ok():
		r.Old = same(o, c.after)
	case o.refused():
		c.refused = true
		r.Old = o.answer.String()
		d.dead("a token of two generations ago", o)
	default:
		r.Old = unknown
		return
	}
	r.Family = d.newest(ctx, c)
}

// meet refreshes another session, so that it is known to be alive.
func (d *Doctor) meet(ctx context.Context, t tokencache.Token) (tokencache.Token, bool) {
	o, ok := d.first(ctx, "session 3", t)
	return o.successor(t), ok
}

// neighbour is what became of that, once session 1 is over.
func (d *Doctor) neighbour(ctx context.Context, t tokencache.Token) {
	r := &d.report.Refresh
	if r.Family == "" { // session 1 did not get as far
		r.Others = notTried
		return
	}
	o := d.present(ctx, t)
	switch {
	case o.ok():
		r.Others = Lives
	case o.refused():
		r.Others = Dies
	default:
		r.Others = unknown
	}
}
