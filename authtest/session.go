package authtest

import (
	"crypto/rand"
	"errors"
	"time"
)

// family is a session: a chain of refresh tokens of which the newest is good.
type family struct {
	subject  string
	newest   *refreshToken
	previous *refreshToken // nil before the first rotation
	rotated  time.Time     // when previous was superseded
	over     bool
}

type refreshToken struct {
	value      string
	family     *family
	expiry     time.Time
	superseded bool
}

// grant is what an accepted request gets: the parts of an answer in either
// style.
type grant struct {
	subject       string
	serial        int64
	issued        time.Time
	expiry        time.Time
	refresh       string // empty if it was not rotated
	refreshExpiry time.Time
}

// verdict is about a refresh token.
type verdict int

const (
	current   verdict = iota
	tolerated         // superseded, but Grace allows it
	reused            // superseded
	ended             // its session or it itself
)

// judge says what a refresh token is worth now. It is called with the lock.
func (as *AS) judge(t *refreshToken) verdict {
	f, now := t.family, as.now()
	dead := f.over || !now.Before(t.expiry)
	switch {
	case t.superseded && !dead && as.config.Rotation == Grace && t == f.previous &&
		now.Sub(f.rotated) < as.config.GraceFor:
		return tolerated
	case t.superseded:
		return reused
	case dead:
		return ended
	}
	return current
}

// What is wrong with a refresh token, in the words of the cookie style.
var (
	errUnknown = errors.New("invalid refresh token")
	errOver    = errors.New("session revoked")
	errReused  = errors.New("refresh token reuse")
)

// redeem exchanges a refresh token.
func (as *AS) redeem(value string) (grant, error) {
	as.mu.Lock()
	defer as.mu.Unlock()
	t := as.tokens[value]
	if t == nil {
		as.counts.Refused++
		return grant{}, errUnknown
	}
	f := t.family
	wasOver := f.over
	switch as.judge(t) {
	case reused:
		as.counts.Refused++
		as.counts.Reuses++
		f.over = true
		if wasOver {
			return grant{}, errOver
		}
		return grant{}, errReused
	case ended:
		as.counts.Refused++
		if wasOver {
			return grant{}, errOver
		}
		return grant{}, errUnknown
	case tolerated:
		as.counts.Tolerated++
	}
	as.counts.Refreshes++
	g := as.grant(f.subject)
	if as.nextSubject != "" {
		g.subject, as.nextSubject = as.nextSubject, ""
	}
	if as.config.Rotation != NoRotation {
		as.rotate(f, &g)
	}
	return g, nil
}

// signIn starts a session.
func (as *AS) signIn(subject string) grant {
	as.mu.Lock()
	defer as.mu.Unlock()
	g := as.grant(subject)
	as.rotate(&family{subject: subject}, &g)
	return g
}

// grant issues an access token. It is called with the lock; signing, which takes
// long, is done outside of it by [AS.accessToken].
func (as *AS) grant(subject string) grant {
	as.serial++
	issued := as.now().Truncate(time.Second)
	return grant{
		subject: subject, serial: as.serial,
		issued: issued, expiry: issued.Add(seconds(as.config.AccessTTL)),
	}
}

// rotate gives the family a new refresh token, which becomes that of the grant.
// It is called with the lock.
func (as *AS) rotate(f *family, g *grant) {
	t := &refreshToken{
		value: "rt_" + rand.Text(), family: f,
		expiry: g.issued.Add(seconds(as.config.RefreshTTL)),
	}
	as.tokens[t.value] = t
	if f.newest != nil {
		f.newest.superseded = true
		f.previous, f.rotated = f.newest, as.now()
	}
	f.newest = t
	g.refresh, g.refreshExpiry = t.value, t.expiry
}

// end ends a session, if the refresh token is of one. It is called with the
// lock.
func (as *AS) end(refreshToken string) {
	if t := as.tokens[refreshToken]; t != nil {
		t.family.over = true
	}
}

// now is the time of this server. It is called with the lock.
func (as *AS) now() time.Time { return time.Now().Add(as.ahead) }

// seconds rounds up to whole seconds.
func seconds(d time.Duration) time.Duration {
	if whole := d.Truncate(time.Second); whole < d {
		return whole + time.Second
	}
	return d.Truncate(time.Second)
}
