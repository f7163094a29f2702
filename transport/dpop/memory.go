package dpop

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// maxKeys and maxOrigins bound a generation of the memory; there are two.
	// A program has few origins, but a session each for many users.
	maxKeys, maxOrigins = 5000, 500
	// maxNonce is more than any server needs.
	maxNonce = 1 << 10
	// tolerance is how far the clocks may differ: Date has whole seconds, and
	// the answer was on its way.
	tolerance = 5 * time.Second
	// maxOffset is more than any wrong time zone makes.
	maxOffset = 24 * time.Hour
	// recently is how long an answer to a proof by the old clock may take.
	recently = 30 * time.Second
)

// The error codes of RFC 9449, sections 5, 7.1 and 8.
const (
	useNonce     = "use_dpop_nonce"
	invalidProof = "invalid_dpop_proof"
)

// memory is what the servers want in proofs. It holds pointers, since fmt, where
// it calls no method of ours, prints what one pointer leads to but not two.
type memory struct {
	mu      sync.Mutex
	origins *aging[string, server]
	nonces  *aging[pair, string]
}

// server is what holds for all proofs at an origin.
type server struct {
	nonce  string        // the newest, whichever key it was told
	offset time.Duration // of its clock from ours
	set    time.Time     // when the offset was learned
}

// pair is a key at an origin. Nonces of two origins never mix (RFC 9449 section
// 9).
type pair struct {
	origin string
	key    [32]byte // its thumbprint
}

func newMemory() *memory {
	return &memory{
		origins: &aging[string, server]{limit: maxOrigins},
		nonces:  &aging[pair, string]{limit: maxKeys},
	}
}

// recall returns what the next proof has to hold.
func (m *memory) recall(origin string, key [32]byte) (nonce string, offset time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.origins.get(origin)
	if nonce = m.nonces.get(pair{origin, key}); nonce == "" {
		nonce = s.nonce
	}
	return nonce, s.offset
}

func (m *memory) keepNonce(origin string, key [32]byte, nonce string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.origins.get(origin)
	s.nonce = nonce
	m.origins.set(origin, s)
	m.nonces.set(pair{origin, key}, nonce)
}

// adjust sets the clock for an origin by the Date (RFC 9110 section 6.6.1) of an
// answer that refuses a proof. It reports whether a proof made now has another
// time than the refused one had.
//
// An offset makes proofs that are good later, or were earlier, but only at the
// origin that asked for them, so a server gains nothing by a lie.
func (m *memory) adjust(origin string, header http.Header) bool {
	date, err := http.ParseTime(only(header, "Date"))
	now := time.Now()
	offset := date.Sub(now)
	if err != nil || offset.Abs() > maxOffset {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.origins.get(origin)
	if (offset - s.offset).Abs() <= tolerance {
		return now.Sub(s.set) < recently
	}
	s.offset, s.set = offset, now
	m.origins.set(origin, s)
	return true
}

// nonceIn returns the nonce of an answer, or "" if there is none, or more than
// one, or one that is none (RFC 9449 section 8.1).
func nonceIn(header http.Header) string {
	nonce := only(header, "Dpop-Nonce")
	if len(nonce) > maxNonce {
		return ""
	}
	for i := range len(nonce) {
		if c := nonce[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return ""
		}
	}
	return strings.Clone(nonce) // so that it keeps no larger string alive
}

// only returns the value of a header that has one.
func only(header http.Header, name string) string {
	if values := header[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// aging is a map of two generations. When the young one is full, it becomes the
// old one, and the old one is forgotten: all that was neither set nor looked up
// since. So it takes no scan, no goroutine, and at most twice the limit.
type aging[K comparable, V any] struct {
	young, old map[K]V
	limit      int
}

// get returns the value of k, or the zero V.
func (a *aging[K, V]) get(k K) V {
	v, ok := a.young[k]
	if !ok {
		if v, ok = a.old[k]; ok {
			a.set(k, v)
		}
	}
	return v
}

func (a *aging[K, V]) set(k K, v V) {
	if a.young == nil || len(a.young) >= a.limit {
		a.young, a.old = map[K]V{}, a.young
	}
	a.young[k] = v
}
