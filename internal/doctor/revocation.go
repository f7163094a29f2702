package doctor

import (
	"context"
	"crypto/rand"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport/clientassertion"
)

// revocation revokes a refresh token alone, to see what else that ends. What it
// returns is that token: to present it comes last, since there are servers on
// which that ends the user's other sessions.
func (d *Doctor) revocation(ctx context.Context, t tokencache.Token) (revoked tokencache.Token, ok bool) {
	r := &d.report.Revocation
	o, ok := d.first(ctx, "session 2", t)
	if !ok {
		return tokencache.Token{}, false
	}
	newest, ok := d.wrongClient(ctx, o.successor(t))
	if !ok {
		return tokencache.Token{}, false
	}
	if d.metadata.RevocationURL == "" {
		r.Works = "no: there is no revocation endpoint"
		return tokencache.Token{}, false
	}
	refresh := asks(func() (bool, bool) { return d.introspect(ctx, newest.Refresh(), "refresh_token") })
	access := asks(func() (bool, bool) { return d.honoured(ctx, newest.Access()) })
	timed, cancel := context.WithTimeout(context.WithValue(ctx, revoking, true), patience)
	defer cancel()
	err := d.endpoint.Revoke(timed, tokencache.NewToken(tokencache.TokenFields{Refresh: newest.Refresh()}))
	r.Answer, r.Works = d.wire.last.answer(), unknown
	if err != nil {
		r.Works = no
		d.warn("The revocation was refused (%s): a logout does not reach the server.", r.Answer)
	}
	r.Refresh, r.Access = refresh(), access()
	return newest, true
}

// asks asks about a token now, and again by what it returns, which says what has
// become of it.
func asks(honoured func() (honoured, known bool)) func() string {
	before, _ := honoured()
	return func() string {
		if !before {
			return unknown
		}
		switch after, known := honoured(); {
		case !known:
			return unknown
		case after:
			return Lives
		}
		return Dies
	}
}

// afterRevocation presents the revoked token. That it is refused proves nothing
// where the session may have ended with session 1.
func (d *Doctor) afterRevocation(ctx context.Context, revoked tokencache.Token) {
	r := &d.report.Revocation
	o := d.present(ctx, revoked)
	switch {
	case o.ok():
		r.Refresh = Lives
		if r.Works != no {
			d.warn("The revocation is answered with %s, and the refresh token works still.", r.Answer)
		}
	case o.refused():
		d.dead("a revoked token", o)
		if d.report.Refresh.Others == Lives || d.report.Refresh.Family != Dies {
			r.Refresh = Dies
		}
	}
	switch {
	case r.Works == no:
	case r.Refresh == Dies:
		r.Works = yes
	case r.Refresh == Lives:
		r.Works = no
	}
}

// wrongClient presents a live token as a client with another secret or key, if
// made-up tokens did not show how that is answered: some servers look at the
// token first. It returns what the session goes on with.
func (d *Doctor) wrongClient(ctx context.Context, t tokencache.Token) (tokencache.Token, bool) {
	c := &d.report.Client
	if !d.untold || c.Used == "none" {
		return t, true
	}
	signer := d.signer
	if signer != nil {
		key, err := another(d.config.Key)
		if err != nil {
			return t, true
		}
		signer = &clientassertion.Signer{ClientID: d.config.ClientID, Key: key, Alg: d.config.Alg, KeyID: d.config.KeyID}
	}
	e := d.tokenEndpoint(c.Used, c.Audience, d.config.ClientID, "not-the-secret-"+rand.Text(), signer)
	wrong := d.refresh(ctx, e, t)
	switch {
	case wrong.ok():
		d.warn("The server refreshes for a client with a WRONG secret or key.")
		return wrong.successor(t), true
	case wrong.answer.blamesClient():
		c.Wrong = wrong.answer
		c.works(yes)
		return t, true
	}
	right := d.present(ctx, t)
	if !right.ok() {
		d.warn("A live refresh token was presented with a wrong secret or key (%s), and is dead since (%s).", wrong.answer, right.answer)
		d.skip("revocation: session 2 came to its end before")
		return t, false
	}
	c.Wrong = wrong.answer
	c.works(yes)
	c.NotTold = wrong.refused()
	return right.successor(t), true
}

// works notes what was found of the method in use.
func (c *Client) works(what string) {
	for i, t := range c.Tried {
		if t.Method == c.Used && t.Audience == c.Audience {
			c.Tried[i].Works = what
		}
	}
}
