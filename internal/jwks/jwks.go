// Package jwks finds the public keys of an issuer by their kid (RFC 7517). It is
// the one package of this module that knows the JWK library.
package jwks

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
)

var (
	// ErrUnknown is about a kid that the issuer does not know.
	ErrUnknown = errors.New("jwks: unknown key")
	// ErrUnavailable says that no key is known because the set could not be
	// had. It says nothing about the token.
	ErrUnavailable = errors.New("jwks: the key set is not available")
)

const (
	// fresh is how long a set is used before it is fetched anew, in the
	// background.
	fresh = 15 * time.Minute
	// pause is the least time between two fetches. Whoever makes up kids
	// causes no more than that.
	pause = 10 * time.Second
	// issuedPause is that for a token which came from the issuer itself.
	issuedPause = time.Second
	// patience bounds one fetch.
	patience = 5 * time.Second
	// maxSet is the most that is read of a set, in bytes.
	maxSet = 1 << 20
	// minRSA is the least length of an RSA key, in bits (RFC 7518 section
	// 3.3).
	minRSA = 2048
)

// Set is the key set behind a URL. It fetches nothing before it is asked, keeps
// the last good set through an outage, and has one fetch in flight at most. It
// is safe for concurrent use and must not be copied.
type Set struct {
	// URL is where the set is.
	URL string
	// Base fetches it. If nil, http.DefaultTransport.
	Base http.RoundTripper

	keys atomic.Pointer[published] // nil before the first

	mu       sync.Mutex
	asked    time.Time     // when the last fetch began
	fetching chan struct{} // closed at its end; nil if there is none
}

// published is what the issuer said last. It is not changed.
type published struct {
	keys       []key
	fetched    time.Time
	generation uint64
}

type key struct {
	id, alg string
	public  crypto.PublicKey
}

func (k key) equal(other key) bool {
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.id == other.id && k.alg == other.alg && public.Equal(other.public)
}

// follow returns what is published after p, which may be nil. The order of the
// keys counts: of two with one kid the first is used.
func (p *published) follow(keys []key, now time.Time) *published {
	next := &published{keys, now, 1}
	switch {
	case p == nil:
	case slices.EqualFunc(p.keys, keys, key.equal):
		next.generation = p.generation
	default:
		next.generation = p.generation + 1
	}
	return next
}

type issuedKey struct{}

// Issued returns a context for a token that has just come from the issuer. Nobody
// can have made up its kid, so that whoever makes up others cannot keep the key
// from being looked for.
func Issued(ctx context.Context) context.Context { return context.WithValue(ctx, issuedKey{}, true) }

// Key returns the key for a kid and an algorithm. An unknown kid is looked for
// in a set fetched anew, for a key may just have been rotated. A token without
// a kid is for the only key of its algorithm.
func (s *Set) Key(ctx context.Context, kid, alg string) (any, error) {
	k, known, stale := s.find(kid, alg)
	if k != nil {
		if stale {
			s.fetch(pause) // for the next ones
		}
		return k, nil
	}
	least := pause
	if ctx.Value(issuedKey{}) != nil {
		least = issuedPause
	}
	done := s.fetch(least)
	if done == nil {
		return nil, missing(known)
	}
	select {
	case <-done:
	case <-ctx.Done():
		return nil, ErrUnavailable
	}
	if k, known, _ = s.find(kid, alg); k == nil {
		return nil, missing(known)
	}
	return k, nil
}

// Generation tells one set of keys from the next: what verified with a key holds
// as long as the number is the same. It is 0 before there is a set, and stays as
// it is if the same keys are fetched again.
//
// Whoever remembers what verified calls it with each use. Nobody may ask for a
// key for a long time then, so that this has an old set fetched anew, too: a key
// that was withdrawn is felt by the requests after the first one that comes when
// the set is 15 minutes old, as soon as the fetch is through.
func (s *Set) Generation(now time.Time) uint64 {
	p := s.keys.Load()
	if p == nil {
		return 0
	}
	if p.stale(now) {
		s.fetch(pause)
	}
	return p.generation
}

func (p *published) stale(now time.Time) bool { return now.Sub(p.fetched) > fresh }

func missing(known bool) error {
	if known {
		return ErrUnknown
	}
	return ErrUnavailable
}

// find looks at what is there; known is whether any set ever came.
func (s *Set) find(kid, alg string) (public crypto.PublicKey, known, stale bool) {
	p := s.keys.Load()
	if p == nil {
		return nil, false, false
	}
	for _, k := range p.keys {
		if kid != "" && k.id != kid || k.alg != "" && k.alg != alg || !made(k.public, alg) {
			continue
		}
		if public != nil && kid == "" {
			public = nil // which one is meant cannot be told
			break
		}
		public = k.public
		if kid != "" {
			break
		}
	}
	return public, true, p.stale(time.Now())
}

// made reports whether a key is of the kind that the algorithm uses.
func made(public any, alg string) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return alg == "RS256" || alg == "PS256"
	case *ecdsa.PublicKey: // of this curve alone (RFC 7518 section 3.4)
		return alg == "ES256" && k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// fetch starts a fetch unless the last one began less than that ago; nil then. It
// belongs to no request.
func (s *Set) fetch(least time.Duration) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetching != nil {
		return s.fetching
	}
	if !s.asked.IsZero() && time.Since(s.asked) < least {
		return nil
	}
	done := make(chan struct{})
	s.asked, s.fetching = time.Now(), done
	go func() {
		keys, err := s.get()
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			s.keys.Store(s.keys.Load().follow(keys, time.Now()))
		}
		s.fetching = nil
		close(done)
	}()
	return done
}

// get reads the set, and keeps what may verify a signature.
func (s *Set) get() ([]key, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	var keys []key
	for _, raw := range all {
		// A key that cannot be read is no reason to do without the others (RFC
		// 7517 section 5). Private is for secrets, which are told apart below.
		j, err := jwkset.NewJWKFromRawJSON(raw, jwkset.JWKMarshalOptions{Private: true}, jwkset.JWKValidateOptions{})
		if err != nil {
			continue
		}
		m := j.Marshal()
		if m.USE != "" && m.USE != jwkset.UseSig {
			continue
		}
		switch public := j.Key().(type) {
		case *rsa.PublicKey:
			if public.N.BitLen() < minRSA {
				continue
			}
		case *ecdsa.PublicKey, ed25519.PublicKey:
		default: // a shared secret has no place in a published set
			continue
		}
		keys = append(keys, key{m.KID, m.ALG.String(), j.Key()})
	}
	if len(keys) == 0 {
		return nil, errors.New("jwks: no usable key in the set")
	}
	// Some issuers write them in another order each time. Of two with one kid the
	// first is used, which it stays.
	slices.SortStableFunc(keys, func(a, b key) int { return strings.Compare(a.id, b.id) })
	return keys, nil
}

// read fetches the set. No redirect is followed: whoever could send us elsewhere
// could bring keys of his own.
func (s *Set) read(ctx context.Context) ([]json.RawMessage, error) {
	base := s.Base
	if base == nil {
		base = http.DefaultTransport
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return nil, err
	}
	resp, err := base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New("jwks: the answer is no key set")
	}
	var set struct{ Keys []json.RawMessage }
	err = json.NewDecoder(io.LimitReader(resp.Body, maxSet)).Decode(&set)
	return set.Keys, err
}
