package sim_test

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// mode is what the authorization server does with a refresh token.
type mode int

const (
	strict   mode = iota // it is rotated; shown twice, the whole family ends
	graceful             // the same, but only some seconds after it was rotated
	plain                // it is rotated; shown twice, it is refused, and no more
	lasting              // it is not rotated
)

func (m mode) String() string { return [...]string{"strict", "graceful", "plain", "lasting"}[m] }

// server is the authorization server.
type server struct {
	w        *world
	mode     mode
	families []*family
	byToken  map[string]*generation // by refresh token: the newest that has it
	byAccess map[string]*generation
}

// family is a session as the authorization server knows it.
type family struct {
	name        string
	user        string
	generations []*generation
	ended       string // why; empty while it lives

	signedOut bool      // somebody began to end it
	replaced  bool      // by a sign-in, and by nothing else
	got       time.Time // when the last successor reached a process
	left      time.Time // when the answer to that came, and the Store was well
	leftBy    *replica  // which gave the answer
}

// generation is a pair of tokens.
type generation struct {
	*ticket
	family  *family
	access  string
	what    string      // the access token is for: "" or files
	from    *generation // whose refresh token it was issued for
	name    string
	issued  time.Time
	stamp   time.Time // the same, by the server's clock
	expiry  time.Time
	looks   map[time.Duration]string // the access token, to those whose clock is ahead
	revoked bool                     // the access token alone
	shown   time.Time                // when a browser showed it first
	stored  bool                     // the Store has had it
}

// ticket is a refresh token. A server that does not rotate issues many pairs with
// the same.
type ticket struct {
	refresh       string
	id            string // of its entry
	aead          cipher.AEAD
	presentations []*presentation
	rotated       time.Time
	done          time.Time // when the Store got a successor of it
	past          bool      // the Store had one, and has lost it
	buried        time.Time // when the Store got its end, and no successor before
	touched       time.Time // when the Store last got anything of it
}

// presentation is one arrival of a refresh token.
type presentation struct {
	by       *replica
	at       time.Time
	got      *generation // nil if it was refused
	excuse   string      // for which another one may follow
	sent     time.Time
	answered time.Time // when the successor reached who presented
	gone     bool      // and that is lost, for good
	old      bool      // the Store has forgotten it in time
	unsure   bool      // whether it is stored, for who presented
}

var signingKey = []byte("a secret that has at least thirty-two bytes")

func (s *server) signIn(user string) *generation {
	f := &family{user: user, name: fmt.Sprintf("%s%d", user, len(s.families)+1)}
	s.families = append(s.families, f)
	return s.issue(f, nil, "")
}

// issue makes the next pair of a family.
func (s *server) issue(f *family, from *generation, what string) *generation {
	now := s.w.now().Add(s.w.skew)
	n := len(f.generations) + 1
	g := &generation{
		family: f, from: from, what: what, name: fmt.Sprintf("%s.%d", f.name, n),
		issued: s.w.now(), stamp: now, expiry: now.Add(s.w.life),
	}
	g.access = "A." + g.name + "."
	if !s.w.opaque {
		g.access = sign(f.user, g.name, now, now.Add(s.w.life))
	}
	if from != nil && s.mode == lasting {
		g.ticket, g.shown = from.ticket, from.shown
	} else {
		g.ticket = &ticket{refresh: fmt.Sprintf("R.%s.%d.", f.name, n)}
		g.id, g.aead = keysOf(g.refresh)
	}
	f.generations = append(f.generations, g)
	s.w.mu.Lock()
	s.w.labels[g.id] = g
	s.byToken[g.refresh], s.byAccess[g.access] = g, g
	s.w.mu.Unlock()
	return g
}

func sign(user, id string, issued, expiry time.Time) string {
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		enc.EncodeToString(fmt.Appendf(nil, `{"sub":%q,"jti":%q,"iat":%d,"exp":%d}`, user, id, issued.Unix(), expiry.Unix()))
	mac := hmac.New(sha256.New, signingKey)
	mac.Write([]byte(text))
	return text + "." + enc.EncodeToString(mac.Sum(nil))
}

func refusal() answer {
	return answer{err: &tokencache.Error{Reason: reason.Refused, Status: 400, Code: "invalid_grant"}}
}

// present is the token endpoint.
func (s *server) present(c *call, refresh, what string) answer {
	g := s.byToken[refresh]
	if g == nil {
		s.w.fail("an unknown refresh token was presented")
		return refusal()
	}
	p := &presentation{by: c.replica, at: s.w.now(), sent: c.at, excuse: c.excuse, gone: c.lossy || c.excuse == "lost Store" || c.excuse == "death"}
	c.presentation = p
	g.presentations = append(g.presentations, p)
	again := s.mode != lasting && len(g.presentations) > 1
	s.w.presented(g, p)
	switch {
	case g.family.ended != "":
		return p.refused(what)
	case again && s.mode == plain && !g.rotated.IsZero():
		return p.refused(what)
	case again && s.mode != plain && (s.mode == strict || s.w.now().Sub(g.rotated) > s.w.grace):
		g.family.ended = "reuse of " + g.refresh
		return p.refused(what)
	}
	if g.rotated.IsZero() {
		g.rotated = s.w.now()
	}
	p.got = s.issue(g.family, g, what)
	t := p.got.token(c.replica)
	if s.mode == lasting && s.w.chance(50) { // it stays, and needs no mention
		t = tokencache.NewToken(tokencache.TokenFields{Access: t.Access(), Expiry: t.Expiry()})
	}
	return answer{value: t}
}

// refused is what is no proof where it was about a resource: consent may be what is
// missing. It is presented again then.
func (p *presentation) refused(what string) answer {
	if what != "" {
		p.excuse = or(p.excuse, "refused for a resource")
	}
	return refusal()
}

// end is the revocation endpoint.
func (s *server) end(refresh string) answer {
	if g := s.byToken[refresh]; g != nil && g.family.ended == "" {
		g.family.ended = "revoked"
	}
	return answer{}
}

// accepts reports whose valid access token it is.
func (s *server) accepts(access, what string) (user string, ok bool) {
	g := s.byAccess[access]
	if g == nil || g.what != what || g.revoked || g.family.ended != "" || !s.w.now().Add(s.w.skew).Before(g.expiry) {
		return "", false
	}
	return g.family.user, true
}

// endpoint is one replica's way to the authorization server.
type endpoint struct{ r *replica }

func (e endpoint) Refresh(ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
	w := e.r.w
	c := &call{kind: refresh, name: spent.Refresh(), replica: e.r} // for whatever resource
	c.effect = func() answer { return w.server.present(c, spent.Refresh(), spent.Resource()) }
	c.about, _ = w.labelled(idOf(w, spent.Refresh()))
	if e.r.isAlone() {
		c.excuse, c.lossy = "alone", true
	}
	a := w.await(ctx, c)
	t, _ := a.value.(tokencache.Token)
	return t, a.err
}

func (e endpoint) Revoke(ctx context.Context, t tokencache.Token) error {
	w := e.r.w
	c := &call{kind: revoke, name: t.Refresh(), replica: e.r}
	c.effect = func() answer { return w.server.end(t.Refresh()) }
	c.about, _ = w.labelled(idOf(w, t.Refresh()))
	return w.await(ctx, c).err
}

func idOf(w *world, refresh string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if g := w.server.byToken[refresh]; g != nil {
		return g.id
	}
	return ""
}
