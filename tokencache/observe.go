package tokencache

import (
	"context"
	"errors"
	"time"

	"github.com/rebearer/rebearer/internal/reentry"
	"github.com/rebearer/rebearer/internal/shared"
	"github.com/rebearer/rebearer/tokencache/event"
	"github.com/rebearer/rebearer/tokencache/reason"
)

func init() {
	shared.Tell = func(ctx context.Context, cache any, e event.Event) {
		if c := cache.(*Cache); c != nil && c.coordinator != nil {
			c.coordinator.observe(ctx, e)
		}
	}
}

// observe tells what has ended, though not what an observer does itself: that would
// have no end.
func (c *Coordinator) observe(ctx context.Context, e event.Event) {
	if c.Observe != nil && !reentry.Marked(ctx) {
		defer func() { recover() }() // whoever observes must not hurt what is observed
		c.Observe(reentry.Mark(ctx), e)
	}
}

// tell logs an event and has it observed, so that both say the same. A log may name
// the session, by the beginning of its key.
func (c *Coordinator) tell(e event.Event, session string) {
	e.Took = time.Since(e.Began)
	c.record(e, session)
	c.observe(context.Background(), e)
}

// clock returns when something began, if that will be told.
func (c *Coordinator) clock() (began time.Time) {
	if c.Observe != nil {
		began = time.Now()
	}
	return began
}

// asked is told when a caller has its answer, or a renewal ahead is over.
func (c *Coordinator) asked(ctx context.Context, began time.Time, how claim, out outcome) {
	if c.Observe == nil {
		return
	}
	e := event.Event{
		Kind: event.Served, Began: began, Took: time.Since(began),
		Err: out.err, Resource: how.spent.Resource(), Exchange: out.exchange,
	}
	if how.ahead {
		e.Kind = event.Ahead
	}
	e.Outcome, e.Reason = out.words()
	c.observe(ctx, e)
}

// words says of an outcome how it came about, or why it did not.
func (o outcome) words() (event.Outcome, reason.Reason) {
	var e *Error
	switch {
	case o.err == nil && !o.presented:
		return event.Adopted, ""
	case o.err == nil && !o.led:
		return event.Joined, ""
	case o.err == nil:
		return event.Presented, ""
	case errors.As(o.err, &e):
		return event.Failed, e.Reason
	case errors.Is(o.err, ErrReentrant):
		return event.Failed, reason.Configuration
	case errors.Is(o.err, ErrNoRefreshToken):
		return event.Failed, ""
	}
	return event.Left, ""
}

// presented tells what came of the leader's exchange.
func (l *leader) presented(how event.Outcome, e *Error, began time.Time) {
	told := event.Event{Kind: event.Presentation, Outcome: how, Began: began, Resource: l.at.Resource(), Exchange: l.told}
	if e != nil {
		told.Reason, told.Status, told.Err = e.Reason, e.Status, e
	}
	l.tell(told, l.id[:8])
}

// ended tells that the leader has found the session over, and nobody before it.
func (l *leader) ended(e *Error, began time.Time) {
	l.tell(event.Event{Kind: event.Ended, Began: began, Reason: e.Reason, Status: e.Status, Err: e}, l.id[:8])
}
