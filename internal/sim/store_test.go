package sim_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rebearer/rebearer/internal/compact"
	"github.com/rebearer/rebearer/tokencache"
)

// shelf is what the Store holds.
type shelf struct {
	w       *world
	entries map[string]*entry
	writes  int
	last    []undo // what the last writes replaced
}

type entry struct {
	tokencache.Entry
	expires time.Time
}

type undo struct {
	key string
	was *entry
	at  time.Time
}

func (s *shelf) get(key string) tokencache.Entry {
	e := s.entries[key]
	if e == nil || !s.w.now().Before(e.expires) {
		return tokencache.Entry{}
	}
	return e.Entry
}

type swapped struct {
	now tokencache.Entry
	ok  bool
}

func (s *shelf) swap(c *call, key, old string, value []byte, ttl time.Duration) swapped {
	was := s.get(key)
	if was.Version != old {
		return swapped{now: was}
	}
	s.w.written(c, key, was.Value, value)
	s.last = append(s.last, undo{key, s.entries[key], s.w.now()})
	s.writes++
	if value == nil || ttl <= 0 {
		delete(s.entries, key)
		return swapped{ok: true}
	}
	e := tokencache.Entry{Value: bytes.Clone(value), Version: strconv.Itoa(s.writes)}
	s.entries[key] = &entry{e, s.w.now().Add(ttl)}
	return swapped{e, true}
}

// handle is one replica's way to the Store.
type handle struct {
	r *replica
}

func (h handle) call(k kind, key, what string) *call {
	g, note := h.r.w.labelled(key)
	name := note
	if g != nil {
		name = g.refresh + note
	}
	return &call{kind: k, name: name + what, replica: h.r, about: g}
}

func (h handle) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	c := h.call(load, key, "")
	c.effect = func() answer { return answer{value: h.r.reads(key, h.r.w.store.get(key))} }
	return entryOf(h.r.w.await(ctx, c))
}

func (h handle) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	c := h.call(swap, key, fmt.Sprintf(" %q → %s", old, stateOf(value)))
	if c.to = stateOf(value); c.to == "held" && c.about != nil {
		c.renewal = h.r.holds[c.about.ticket] == string(value[2:header])
	}
	c.effect = func() answer {
		s := h.r.w.store.swap(c, key, old, h.r.writes(key, value), ttl)
		if s.ok && c.to == "held" && c.about != nil {
			h.r.holds[c.about.ticket] = string(value[2:header])
		}
		s.now = h.r.reads(key, s.now)
		return answer{value: s}
	}
	a := h.r.w.await(ctx, c)
	s, _ := a.value.(swapped)
	return s.now, s.ok, a.err
}

// Wait returns when the version is another one, or a message is lost and it has
// looked by itself.
func (h handle) Wait(ctx context.Context, key, old string) (tokencache.Entry, error) {
	w := h.r.w
	c := h.call(wait, key, fmt.Sprintf(" %q", old))
	c.ready = func() bool { return w.store.get(key).Version != old && !w.now().Before(h.r.deaf) }
	c.effect = func() answer { return answer{value: h.r.reads(key, w.store.get(key))} }
	return entryOf(w.await(ctx, c))
}

func entryOf(a answer) (tokencache.Entry, error) {
	e, _ := a.value.(tokencache.Entry)
	return e, a.err
}

// stateOf reads the state of a value, which stands in the clear.
func stateOf(value []byte) string {
	if len(value) < 2 {
		return "absent"
	}
	name := map[byte]string{'h': "held", 'd': "done", 'r': "received", 'f': "failed", 'o': "over", 'b': "born", 'n': "noted"}[value[1]]
	if name == "" {
		return "unknown"
	}
	return name
}

// keysOf returns what a refresh token is turned into (see tokencache/record.go):
// the name of its entry and what opens it.
func keysOf(refresh string) (id string, aead cipher.AEAD) {
	ikm := sha256.Sum256([]byte(refresh))
	out, err := hkdf.Key(sha256.New, ikm[:], []byte(realm), "rebearer", 56)
	if err != nil {
		panic(err)
	}
	block, err := aes.NewCipher(out[24:])
	if err != nil {
		panic(err)
	}
	if aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(out[:24]), aead
}

// labelled returns the generation that an entry is named after, and which of its
// entries that is.
func (w *world) labelled(key string) (g *generation, note string) {
	id, note, _ := strings.Cut(key, " ")
	if note != "" {
		note = " " + note
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.labels[id], note
}

// successorIn returns the generation whose refresh token is sealed in a value
// under g's key.
func (w *world) successorIn(g *generation, value []byte) *generation {
	plain, err := g.aead.Open(nil, nil, value[header:], append([]byte{value[0]}, g.id...))
	if err != nil {
		w.fail("the Store holds a value of %s that its token does not open", g.refresh)
		return nil
	}
	var parts [3]string // access and refresh token, see tokencache/payload.go
	compact.Fields(plain, func(n byte, token []byte) error {
		if n != 1 {
			return nil
		}
		return compact.Fields(token, func(n byte, text []byte) (err error) {
			if n == 1 || n == 2 {
				parts[n], err = compact.Text(text)
			}
			return err
		})
	})
	if w.server.mode != lasting {
		return w.server.byToken[parts[2]]
	}
	return w.server.byAccess[parts[1]]
}
