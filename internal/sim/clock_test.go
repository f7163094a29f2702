package sim_test

import (
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/rebearer/rebearer/internal/compact"
	"github.com/rebearer/rebearer/tokencache"
)

// In a bubble there is one clock. A replica whose own is ahead is told of all times
// on the other side of it as if they were sooner, and what it writes is taken for
// later, by as much: the times in access tokens and in what the Store holds. It
// notices no difference. Only the cooldown of its own failures, and what else it
// keeps in its memory, needs no other clock.

// furthest is how far a clock may be ahead of the Store's, or behind it.
const furthest = 10 * time.Second

// ahead returns how far the clock of the next process is ahead of the Store's.
func (w *world) ahead() time.Duration {
	switch {
	case !w.clocks:
		return 0
	case w.life < 20*time.Second: // or tokens are dead on arrival
		return pick(w, 0, -time.Millisecond, -2*time.Second, -furthest)
	case w.life < time.Minute:
		return pick(w, 0, time.Millisecond, -time.Millisecond, 2*time.Second, -2*time.Second)
	}
	return pick(w, 0, time.Millisecond, -time.Millisecond, 2*time.Second, -2*time.Second, furthest, -furthest)
}

// toward returns an access token as a replica sees it, whose clock is ahead.
func (w *world) toward(r *replica, access string) string {
	g := w.server.byAccess[access]
	if g == nil || r.ahead == 0 || w.opaque {
		return access
	}
	if g.looks[r.ahead] == "" {
		if g.looks == nil {
			g.looks = map[time.Duration]string{}
		}
		began := g.stamp.Add(-r.ahead)
		g.looks[r.ahead] = sign(g.family.user, g.name, began, began.Add(w.life))
		w.mu.Lock()
		w.server.byAccess[g.looks[r.ahead]] = g
		w.mu.Unlock()
	}
	return g.looks[r.ahead]
}

// spentToward returns the name of an access token that did not work as the replica
// makes it; see middleware/boundary.go.
func (w *world) spentToward(r *replica, named string) string {
	name := func(access string) string {
		sum := sha256.Sum256([]byte("rebearer spent " + access))
		return base64.RawURLEncoding.EncodeToString(sum[:16])
	}
	for access, g := range w.server.byAccess {
		if name(access) == named {
			return name(w.toward(r, g.access))
		}
	}
	return named
}

// from returns an access token as it was issued.
func (w *world) from(access string) string {
	if g := w.server.byAccess[access]; g != nil {
		return g.access
	}
	return access
}

// token is what a replica is given.
func (g *generation) token(r *replica) tokencache.Token {
	w := r.w
	expiry := g.expiry.Add(-r.ahead)
	if w.relative { // expires_in, which is counted from now
		expiry = g.issued.Add(w.life)
	}
	return tokencache.NewToken(tokencache.TokenFields{Access: w.toward(r, g.access), Refresh: g.refresh, Expiry: expiry})
}

// reads returns an entry as the replica sees it, and writes a value as the others
// do.
func (r *replica) reads(key string, e tokencache.Entry) tokencache.Entry {
	e.Value = r.translated(key, e.Value, -r.ahead, func(access string) string { return r.w.toward(r, access) })
	return e
}

func (r *replica) writes(key string, value []byte) []byte {
	return r.translated(key, value, r.ahead, r.w.from)
}

// translated moves the times in a value, which is sealed anew.
func (r *replica) translated(key string, value []byte, by time.Duration, access func(string) string) []byte {
	g, _ := r.w.labelled(key)
	if r.ahead == 0 || g == nil || len(value) <= header {
		return value
	}
	plain, err := g.aead.Open(nil, nil, value[header:], append([]byte{value[0]}, key...))
	if err != nil {
		r.w.fail("the Store holds a value of %s that its token does not open", g.refresh)
		return value
	}
	m := motion{by.Milliseconds(), access}
	return g.aead.Seal(value[:header:header], nil, m.payload(plain), append([]byte{value[0]}, key...))
}

// header is what stands before the sealed part of a value.
const header = 18

// motion moves the times in a payload; see tokencache/payload.go for its fields.
type motion struct {
	by     int64 // milliseconds
	access func(string) string
}

func (m motion) payload(plain []byte) (b compact.Buffer) {
	compact.Fields(plain, func(n byte, content []byte) error {
		switch n {
		case 1:
			b.Message(n, func() { m.token(&b, content) })
		case 2:
			b.Message(n, func() { m.failure(&b, content) })
		case 3:
			b.Message(n, func() { pairs(&b, content, m.failure) })
		default:
			b.Message(n, func() { b = append(b, content...) })
		}
		return nil
	})
	return b
}

func (m motion) token(b *compact.Buffer, message []byte) {
	compact.Fields(message, func(n byte, content []byte) error {
		switch n {
		case 1:
			text, err := compact.Text(content)
			b.Text(n, m.access(text))
			return err
		case 5, 6, 7:
			m.time(b, n, content)
		case 9:
			b.Message(n, func() { pairs(b, content, m.token) })
		default:
			b.Message(n, func() { *b = append(*b, content...) })
		}
		return nil
	})
}

func (m motion) failure(b *compact.Buffer, message []byte) {
	compact.Fields(message, func(n byte, content []byte) error {
		if n == 5 {
			m.time(b, n, content)
			return nil
		}
		b.Message(n, func() { *b = append(*b, content...) })
		return nil
	})
}

func (m motion) time(b *compact.Buffer, n byte, content []byte) {
	at, _ := compact.Int(content)
	b.Int(n, at+m.by)
}

func pairs(b *compact.Buffer, list []byte, write func(*compact.Buffer, []byte)) {
	compact.Pairs(list, func(key string, message []byte) error {
		b.Pair(key, func() { write(b, message) })
		return nil
	})
}
