package doctor

import (
	"context"
	"errors"

	"github.com/rebearer/rebearer/tokencache"
)

// outcome is what came of a refresh.
type outcome struct {
	next   tokencache.Token
	answer Answer
	err    error
}

// refresh presents a token, and keeps what rebearer makes of the answer beside
// how that looked.
func (d *Doctor) refresh(ctx context.Context, by tokencache.Refresher, spent tokencache.Token) outcome {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	next, err := by.Refresh(ctx, spent)
	o := outcome{next, d.wire.last.answer(), err}
	if err == nil {
		d.report.Slowest = max(d.report.Slowest, Seconds(d.wire.last.took()))
	}
	return o
}

// present is refresh at the endpoint that is examined.
func (d *Doctor) present(ctx context.Context, spent tokencache.Token) outcome {
	return d.refresh(ctx, d.endpoint, spent)
}

func (o outcome) ok() bool { return o.err == nil }

// refused reports whether the server has said no, and not that it cannot now.
func (o outcome) refused() bool { return o.err != nil && !o.answer.passing() }

// unanswered returns the error of a request that had no answer.
func (o outcome) unanswered() error {
	if o.err == nil || o.answer.Status != 0 {
		return nil
	}
	return errors.New("the token endpoint cannot be reached: " + o.err.Error())
}

// successor is what a session goes on with: where an answer leaves the refresh
// token out, the old one stays (RFC 6749 section 6).
func (o outcome) successor(spent tokencache.Token) tokencache.Token {
	refresh := o.next.Refresh()
	if refresh == "" {
		refresh = spent.Refresh()
	}
	return tokencache.NewToken(tokencache.TokenFields{
		Access: o.next.Access(), Refresh: refresh, Key: o.next.Key(), Type: o.next.Type(), Subject: o.next.Subject(),
	})
}

// first presents a token that somebody handed over, which may be dead already.
func (d *Doctor) first(ctx context.Context, session string, t tokencache.Token) (outcome, bool) {
	d.say("%s: the first refresh", session)
	o := d.present(ctx, t)
	switch {
	case o.ok():
		d.seen(o.next)
		return o, true
	case o.answer.Status == 0:
		d.warn("%s could not be tried: %v", session, o.err)
	case o.answer.blamesClient():
		d.warn("%s could not be tried: the server refuses the client (%s).", session, o.answer)
	default:
		d.warn("%s could not be tried: its refresh token was refused the first time (%s). It was dead before, or is another client's, or came to its end with one of the others, as two sign-ins of one browser may%s.", session, o.answer, d.orClient())
	}
	d.skip(session + ": its first refresh failed")
	return o, false
}

func (d *Doctor) orClient() string {
	if d.untold {
		return ", or the client is not the right one, which this server answers in the same way"
	}
	return ""
}

// dead notes how a dead refresh token is answered.
func (d *Doctor) dead(when string, o outcome) {
	if o.ok() || o.answer.passing() {
		return
	}
	l := Look{When: when, Answer: o.answer, Understood: errors.Is(o.err, tokencache.ErrLoginRequired)}
	if !l.Understood && l.Status < 500 && !l.blamesClient() {
		l.Entry = l.Answer.String()
	}
	for _, known := range d.report.Dead {
		if known.When == l.When && known.Answer == l.Answer {
			return
		}
	}
	d.report.Dead = append(d.report.Dead, l)
}
