package tokencache

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/internal/claims"
	"github.com/rebearer/rebearer/internal/shared"
)

// Token is a pair of access and refresh token, with what is known about them.
//
// It is an immutable, comparable handle that can be copied and shared between
// goroutines. The zero Token is no token. It prints as "Token(…)" whatever the
// verb, and encoding it fails: a redacted encoding would destroy what somebody
// stores.
type Token struct{ s *secret }

// secret holds the parts behind a second pointer. fmt prints unexported fields
// past every method of their type; it does not follow the first pointer for
// %v, but does for a verb that pointers do not have, such as %s. It never
// follows two.
type secret struct{ *parts }

type parts struct {
	access, refresh string
	typ             string
	subject         string
	issued          time.Time
	expiry          time.Time
	refreshExpiry   time.Time
	key             crypto.Signer

	// See resource.go.
	resource string
	session  *secret            // the session's own; nil if this is it
	others   map[string]*secret // of the session's own

	// header is the value of the Authorization header, made once and shared
	// by all requests; nil if the access token may not stand in a header.
	header []string

	once  sync.Once
	alone http.Header // with nothing but header

	entry atomic.Pointer[entryID]
}

// TokenFields are the parts that [NewToken] makes a Token of.
type TokenFields struct {
	// Access is the access token. If empty, the Token is only good for a
	// refresh.
	Access string
	// Refresh is the refresh token. If empty, the Token cannot be refreshed.
	Refresh string
	// Type is the token type (RFC 6749 section 7.1), compared without regard
	// to case. If empty, "DPoP" with a Key, else "Bearer".
	Type string
	// Key is the private key that a DPoP token is bound to (RFC 9449): an
	// *ecdsa.PrivateKey on P-256, or an ed25519.PrivateKey. A key of another
	// kind is lost where a Token is kept for others, in memory or a Store. A DPoP
	// token without a Key is only good for a refresh.
	Key crypto.Signer
	// Expiry is when the access token ends. If zero, it is read from the
	// access token where that is a JWT with exp, else it is unknown.
	Expiry time.Time
	// RefreshExpiry is when the refresh token ends. If zero, it is unknown.
	RefreshExpiry time.Time
	// Issued is when the access token was issued. If zero, it is read from
	// the access token where that is a JWT with iat, else it is unknown, and
	// the token is not renewed ahead of its end.
	Issued time.Time
	// Subject is whom the tokens belong to, if that is known from elsewhere
	// than the access token, such as an ID token. If empty, refreshes compare
	// the sub claims of the access tokens where both are JWTs.
	Subject string
}

// maxTokenLength is more than any cookie or header line takes.
const maxTokenLength = 64 << 10

// NewToken returns the Token of the fields. Its parts are not verified. An
// access token that may not stand in a header is kept, but never sent: see
// [Token.SetHeader].
func NewToken(f TokenFields) Token {
	if f.Expiry.IsZero() || f.Issued.IsZero() {
		c := claims.Parse(f.Access)
		if f.Expiry.IsZero() {
			f.Expiry = c.Expiry
		}
		if f.Issued.IsZero() {
			f.Issued = c.IssuedAt
		}
	}
	return newToken(f)
}

// newToken takes the fields as they are.
func newToken(f TokenFields) Token {
	if f.Access == "" && f.Refresh == "" {
		return Token{}
	}
	s := &secret{&parts{
		access: f.Access, refresh: f.Refresh, typ: f.Type, subject: f.Subject,
		issued: f.Issued, expiry: f.Expiry, refreshExpiry: f.RefreshExpiry, key: f.Key,
	}}
	bound := s.typ == "" && s.key != nil || strings.EqualFold(s.typ, "DPoP")
	switch {
	case bound:
		s.typ = "DPoP"
	case s.typ == "" || strings.EqualFold(s.typ, "Bearer"):
		s.typ = "Bearer"
	}
	if visible(s.access) && visible(s.typ) && (s.key != nil || !bound) {
		s.header = []string{s.typ + " " + s.access}
	}
	return Token{s}
}

// visible reports whether v is one to maxTokenLength bytes of visible ASCII,
// which is what RFC 6749 appendix A allows in tokens.
func visible(v string) bool {
	if v == "" || len(v) > maxTokenLength {
		return false
	}
	for i := range len(v) {
		if v[i] <= ' ' || v[i] > '~' {
			return false
		}
	}
	return true
}

var none = secret{new(parts)}

// part returns the secret, or an empty one for the zero Token.
func (t Token) part() *secret {
	if t.s == nil {
		return &none
	}
	return t.s
}

// IsZero reports whether t is no token.
func (t Token) IsZero() bool { return t.s == nil }

// Access returns the access token, or "".
func (t Token) Access() string { return t.part().access }

// Refresh returns the refresh token, or "".
func (t Token) Refresh() string { return t.part().refresh }

// Type returns the token type: "Bearer", "DPoP", or what was said.
func (t Token) Type() string { return t.part().typ }

// Key returns [TokenFields].Key, or nil.
func (t Token) Key() crypto.Signer { return t.part().key }

// Subject returns [TokenFields].Subject.
func (t Token) Subject() string { return t.part().subject }

// Issued returns when the access token was issued; zero if that is unknown.
func (t Token) Issued() time.Time { return t.part().issued }

// Expiry returns when the access token ends; zero if that is unknown.
func (t Token) Expiry() time.Time { return t.part().expiry }

// RefreshExpiry returns when the refresh token ends; zero if that is unknown.
func (t Token) RefreshExpiry() time.Time { return t.part().refreshExpiry }

// Valid reports whether there is an access token that is not known to end
// within the leeway. It says nothing about what the API thinks of it.
func (t Token) Valid(leeway time.Duration) bool {
	s := t.part()
	return s.access != "" && (s.expiry.IsZero() || time.Now().Add(leeway).Before(s.expiry))
}

// SetHeader sets the Authorization header (RFC 6750 section 2.1, RFC 9449
// section 7.1). It returns [ErrMalformedToken], and sets nothing, if the access
// token is empty, holds a byte that is not visible ASCII, or is bound to a key
// that is not there. It does not allocate; the value is shared
// and must not be changed in place.
func (t Token) SetHeader(h http.Header) error {
	if t.s == nil || t.s.header == nil {
		return ErrMalformedToken
	}
	h["Authorization"] = t.s.header
	return nil
}

func init() {
	shared.Header = func(token any) http.Header { return token.(Token).sole() }
}

// sole returns a header with what SetHeader sets, and nothing else; nil where
// that returns an error. It is made once, and shared by all who ask.
func (t Token) sole() http.Header {
	if t.s == nil || t.s.header == nil {
		return nil
	}
	t.s.once.Do(func() { t.s.alone = http.Header{"Authorization": t.s.header} })
	return t.s.alone
}

// Same reports whether both are the same pair of tokens.
func (t Token) Same(u Token) bool {
	if t.s == u.s {
		return true
	}
	return t.s != nil && u.s != nil && t.s.access == u.s.access && t.s.refresh == u.s.refresh
}

// replaces reports whether t can stand in for a token that does not work. Where
// refresh tokens do not rotate, all access tokens of a session come with one, and
// one that was issued before the spent one cannot. Elsewhere the chain tells what
// follows what, and clocks are not asked: they differ, and a successor that is not
// believed would be a second presentation.
func (t Token) replaces(spent Token) bool { return t.Valid(0) && !t.stale(spent) }

// stale reports whether t is the spent token, or known to have been there before.
func (t Token) stale(spent Token) bool {
	return t.Access() == spent.Access() || t.Refresh() == spent.Refresh() && t.older(spent)
}

// older reports whether the access token is known to have been issued before that
// of u. What both say of themselves is of one clock, the server's. When an answer
// came is not: it may have been on its way while a later one overtook it.
func (t Token) older(u Token) bool {
	one, other := claims.Parse(t.Access()).IssuedAt, claims.Parse(u.Access()).IssuedAt
	if one.IsZero() || other.IsZero() {
		one, other = t.Issued(), u.Issued()
	}
	return milli(one) < milli(other) && !one.IsZero()
}

const redacted = "Token(…)"

// Format prints no part of the token, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String prints no part of the token.
func (t Token) String() string { return redacted }

// LogValue logs no part of the token.
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

var errNoEncoding = errors.New("tokencache: a Token has no encoding; take its parts where they are stored")

// MarshalJSON returns an error.
func (t Token) MarshalJSON() ([]byte, error) { return nil, errNoEncoding }

// MarshalText returns an error.
func (t Token) MarshalText() ([]byte, error) { return nil, errNoEncoding }

// Format prints no field.
func (f TokenFields) Format(s fmt.State, _ rune) { io.WriteString(s, "TokenFields(…)") }

// LogValue logs no field.
func (f TokenFields) LogValue() slog.Value { return slog.StringValue("TokenFields(…)") }

// MarshalText returns an error, and with it what encodes to JSON or XML.
func (f TokenFields) MarshalText() ([]byte, error) { return nil, errNoEncoding }
