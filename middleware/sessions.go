package middleware

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rebearer/rebearer/internal/compact"
	"github.com/rebearer/rebearer/internal/shared"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// Sessions keep tokens on the server. The browser has a cookie with the random
// name of its session, of 256 bits; the tokens are in a Store, under a hash of
// that name and sealed with a key that is made of it, so that a copy of the Store
// opens nothing. No token reaches the browser; each request reads the Store once.
//
// A session gets a new name with each sign-in. A logout, a sign-in and a page that
// finds it over take it out of the Store, and no response that is on its way brings
// it back.
type Sessions struct {
	// Store keeps them. Replicas share one; that of the Coordinator is as good
	// as any. If nil, this process's memory does, up to 64 MiB, some 50,000
	// sessions with tokens of 1,000 bytes: they end with the process, and
	// sign-ins fail while it is full.
	Store tokencache.Store
	// Idle is how long a session lives that nobody uses. A request that takes long,
	// such as a stream, uses it all the time. If zero, 24 h.
	Idle time.Duration
	// Absolute is how long it lives at most, from the sign-in on. If zero, 30
	// days.
	Absolute time.Duration

	memory tokencache.MemoryStore
}

func (s *Sessions) validate(c *Cookies) error {
	switch {
	case c.Sealed:
		return errors.New("middleware: tokens are either Sealed in cookies or in Sessions")
	case len(c.Secrets) > 0:
		return errors.New("middleware: Cookies.Secrets seal nothing with Sessions, whose keys are made of their names")
	case c.MaxAge != 0:
		return errors.New("middleware: with Sessions their Absolute says how long a cookie is kept, and not Cookies.MaxAge")
	case s.Idle < 0 || s.Absolute < 0:
		return errors.New("middleware: a life of Sessions is negative")
	}
	return nil
}

// Format prints no field.
func (s *Sessions) Format(f fmt.State, _ rune) { io.WriteString(f, "Sessions(…)") }

func (s *Sessions) idle() time.Duration     { return or(s.Idle, 24*time.Hour) }
func (s *Sessions) absolute() time.Duration { return or(s.Absolute, month) }

func (s *Sessions) store() tokencache.Store {
	if s.Store == nil {
		return &s.memory
	}
	return s.Store
}

// entry is a session in the Store, as it was read or written last.
type entry struct {
	name    string // what the browser has
	id      string // the Store's key
	aead    cipher.AEAD
	version string
	created time.Time
	used    time.Time // as it is written
	of      cookies
}

const (
	nameSize = 32 // bytes
	idSize   = 24
)

func newEntry(name string) (*entry, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(name)
	if err != nil || len(raw) != nameSize {
		return nil, errForeign
	}
	out, err := hkdf.Key(sha256.New, raw, nil, "rebearer/1 session", idSize+32)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(out[idSize:])
	return &entry{name: name, id: "session " + base64.RawURLEncoding.EncodeToString(out[:idSize]), aead: aead}, err
}

var (
	errForeign = errors.New("middleware: what the Store has is no session of ours")
	errEnded   = errors.New("middleware: the session has ended meanwhile")
)

// fill reads what is in the Store.
func (e *entry) fill(from tokencache.Entry) error {
	sealed, ours := strings.CutPrefix(string(from.Value), shared.Session)
	if !ours {
		return errForeign
	}
	plain, err := e.aead.Open(nil, nil, []byte(sealed), []byte(shared.Session))
	if err != nil {
		return errForeign
	}
	err = compact.Fields(plain, func(n byte, content []byte) (err error) {
		var at int64
		switch n {
		case 1:
			e.of, err = unpacked(content)
		case 2:
			at, err = compact.Int(content)
			e.created = time.UnixMilli(at)
		case 3:
			at, err = compact.Int(content)
			e.used = time.UnixMilli(at)
		}
		return err
	})
	e.version = from.Version
	return err
}

func (e *entry) value() []byte {
	var b compact.Buffer
	b.Bytes(1, e.of.pack())
	b.Int(2, e.created.UnixMilli())
	b.Int(3, e.used.UnixMilli())
	head := []byte(shared.Session)
	return e.aead.Seal(head, nil, b, head)
}

// answering is how long the Store may take.
const answering = 3 * time.Second

// load returns nil if there is no such session.
func (s *Sessions) load(ctx context.Context, name string) (*entry, error) {
	e, err := newEntry(name)
	if err != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	found, err := s.store().Load(ctx, e.id)
	if err != nil {
		return nil, unread(err)
	}
	if found.Version == "" {
		return nil, nil
	}
	if err := e.fill(found); err != nil { // a newer version may have written it, during a deploy
		return nil, &tokencache.Error{Reason: reason.StoreFormat, Err: err, Unsent: true}
	}
	switch now := time.Now(); {
	case now.Sub(e.created) >= s.absolute(), now.Sub(e.used) >= s.idle():
		s.store().Swap(ctx, e.id, e.version, nil, 0)
		return nil, nil
	case now.Sub(e.used) >= s.idle()/16: // not with each request
		s.touch(ctx, e)
	}
	return e, nil
}

// touch writes that the session is used. Whoever has written meanwhile has said so.
func (s *Sessions) touch(ctx context.Context, e *entry) error {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	was := e.used
	e.used = time.Now()
	now, ok, err := s.store().Swap(ctx, e.id, e.version, e.value(), s.ttl(e))
	switch {
	case err != nil:
		e.used = was
		return unread(err)
	case now.Version == "":
		return errEnded
	case !ok:
		return e.fill(now)
	}
	e.version = now.Version
	return nil
}

// ttl is what is left of its life, if nobody uses it.
func (s *Sessions) ttl(e *entry) time.Duration {
	return min(s.idle(), time.Until(e.created.Add(s.absolute())))
}

func unread(err error) error {
	return &tokencache.Error{Reason: reason.Store, Err: err, Unsent: true}
}

// create makes a session for a sign-in.
func (s *Sessions) create(ctx context.Context, t tokencache.Token) (*entry, error) {
	raw := make([]byte, nameSize)
	rand.Read(raw) // never fails
	e, err := newEntry(base64.RawURLEncoding.EncodeToString(raw))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	e.created, e.used, e.of = time.Now(), time.Now(), cookiesOf(t)
	if _, _, err = s.store().Swap(ctx, e.id, "", e.value(), s.ttl(e)); err != nil {
		return nil, unread(err)
	}
	return e, nil
}

// drop takes the session out of the Store, whatever has become of it.
func (s *Sessions) drop(ctx context.Context, e *entry) error {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	for range 10 {
		now, ok, err := s.store().Swap(ctx, e.id, e.version, nil, 0)
		switch {
		case err != nil:
			return unread(err)
		case ok, now.Version == "":
			return nil
		}
		e.version = now.Version
	}
	return unread(errors.New("the session is written again and again"))
}

// save writes new tokens over those that were read, if the session has not been
// ended. If somebody else has written others meanwhile, those stay: whichever of
// them is the older leads to the newer one, as long as no request has shown that.
func (s *Sessions) save(ctx context.Context, e *entry, t tokencache.Token) error {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	read := e.of
	for range 10 {
		e.used, e.of = time.Now(), cookiesOf(t)
		now, ok, err := s.store().Swap(ctx, e.id, e.version, e.value(), s.ttl(e))
		switch {
		case err != nil:
			e.of = read
			return unread(err)
		case ok:
			e.version = now.Version
			return nil
		case now.Version == "":
			return errEnded
		}
		if err := e.fill(now); err != nil || e.of != read {
			return err
		}
		// It was only used.
	}
	return unread(errors.New("the session is written again and again"))
}
