package tokencache

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/rebearer/rebearer/internal/compact"
	"github.com/rebearer/rebearer/internal/privatekey"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// A value in the Store is
//
//	format (1 byte) | state (1 byte) | nonce (16 bytes) | sealed payload
//
// Format and state stand in the clear, so that a Store may tell what it can
// evict. The payload opens with the refresh token that the key was made of:
// who shows the old token can open its successor, nobody else can, and a copy
// of the Store opens nothing. What it holds is written in payload.go.
const (
	format     = 2
	nonceSize  = 16
	headerSize = 2 + nonceSize
)

// state is what became of the refresh token that the key was made of.
type state byte

const (
	absent   state = 0   // nothing is known: never presented here, or long ago
	born     state = 'b' // it was issued to us; an entry beside the others, see birth
	held     state = 'h' // somebody presents it
	done     state = 'd' // it was exchanged; the payload is its successor
	received state = 'r' // the same, and the browser has shown the successor
	failed   state = 'f' // it could not be exchanged
	over     state = 'o' // its session was ended
	noted    state = 'n' // the session's other access tokens; an entry beside the others, see resource.go
)

// exchanged reports whether the payload is a successor.
func (s state) exchanged() bool { return s == done || s == received }

// keys are what a refresh token is turned into: the name of its entry and the
// AEAD that seals the entry's value.
type keys struct {
	id   string
	aead cipher.AEAD
}

// An id is so long that no two are the same, a key as AES-256 has it.
const (
	idSize  = 24
	keySize = 32
)

// derive makes the keys of a refresh token (HKDF, RFC 5869). The realm is the
// salt, so that equal tokens of two issuers or clients have nothing in common.
func derive(realm, refresh string) keys {
	out := expand(realm, refresh, idSize+keySize)
	block, err := aes.NewCipher(out[idSize:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return keys{id: name(out[:idSize]), aead: aead}
}

// idOf is the id alone, which costs less: the first bytes of HKDF's output are the
// same however many are taken, and tell nothing of the others.
func idOf(realm, refresh string) string { return name(expand(realm, refresh, idSize)) }

// entryID is the id of a refresh token, in a realm.
type entryID struct{ realm, id string }

// id is idOf, made once: of all who wait for one exchange, each asks for it.
func (t Token) id(realm string) string {
	if t.s == nil {
		return idOf(realm, "")
	}
	if made := t.s.entry.Load(); made != nil && made.realm == realm {
		return made.id
	}
	id := idOf(realm, t.s.refresh)
	t.s.entry.Store(&entryID{realm, id})
	return id
}

func expand(realm, refresh string, size int) []byte {
	// A browser may show a token of one letter. In FIPS mode HKDF takes none of
	// less than 112 bits, and that must not end a process.
	ikm := sha256.Sum256([]byte(refresh))
	out, err := hkdf.Key(sha256.New, ikm[:], []byte(realm), "rebearer", size) // which outlives formats: another one is unknown, and not absent
	if err != nil {
		panic(err) // only for lengths that are not ours
	}
	return out
}

func name(id []byte) string { return base64.RawURLEncoding.EncodeToString(id) }

// birth returns the keys of the note that the refresh token was issued to us. It
// is an entry of its own, so that whoever takes the token's first one needs no
// look before.
func (k keys) birth() keys { return keys{id: k.id + " birth", aead: k.aead} }

// record is a decoded value.
type record struct {
	state state
	nonce [nonceSize]byte
	payload
}

// payload is the sealed part. Which fields are set follows from the state.
type payload struct {
	// Token is the successor (done, received), or the one that there was when
	// the session ended (over). Where the authorization server does not
	// rotate, an exchange begins with a successor and keeps it until it has
	// the next (held, failed).
	Token   *sealedToken
	Failure *failure // failed, over
	// Refused are failures of one resource each, beside Failure (held, failed).
	Refused map[string]*failure
	// Unanswered says that a presentation of this refresh token got no answer
	// (held, failed): if it is refused now, that may be our own doing.
	Unanswered bool
	// Tries counts the failures in a row (held, failed).
	Tries int
	// Timeout is how long a holder may take, in milliseconds: this one (held),
	// or one that was given up and may yet succeed (failed).
	Timeout int64
	// Prev is the key of the entry that led here (born).
	Prev string
	// Before are those that led there without their successor being shown.
	Before []string
}

type failure struct {
	Reason reason.Reason
	Status int
	Code   string
	// Resource is what the access token was to be for.
	Resource string
	// Since and For bound the cooldown, in milliseconds of the writer's wall
	// clock. It spares the authorization server and protects nothing, so a
	// reader whose clock differs may cut it short.
	Since int64
	For   int64
}

// cooling returns what is left of the cooldown.
func (f *failure) cooling(now time.Time) time.Duration {
	age := now.UnixMilli() - f.Since
	if age < 0 || age >= f.For {
		return 0
	}
	return time.Duration(f.For-age) * time.Millisecond
}

// concerns reports whether who wants an access token for the resource has to
// heed the failure. That one for another is not to be had says nothing.
func (f *failure) concerns(resource string) bool {
	switch f.Reason {
	case reason.Timeout, reason.Network, reason.Unavailable, reason.RateLimited, reason.Overloaded, reason.Store, reason.Panicked:
		return true // of the server, or of the way to it
	}
	return f.Resource == resource || f.Resource == "" && !f.Reason.Misconfigured()
}

func (f *failure) err(retryAfter time.Duration) *Error {
	return &Error{Reason: f.Reason, Status: f.Status, Code: f.Code, RetryAfter: retryAfter, Unsent: true}
}

type sealedToken struct {
	Access        string
	Refresh       string
	Type          string
	Subject       string
	Issued        int64 // milliseconds, as all times here
	Expiry        int64
	RefreshExpiry int64
	Key           []byte
	// Others are for other resources; their refresh token is this one.
	Others map[string]*sealedToken
}

func sealable(t Token) *sealedToken {
	own := t.own()
	sealed := sealableFields(own.fields())
	for resource, f := range own.others() {
		if sealed.Others == nil {
			sealed.Others = map[string]*sealedToken{}
		}
		f.Refresh, f.RefreshExpiry, f.Subject = "", time.Time{}, ""
		sealed.Others[resource] = sealableFields(f)
	}
	return sealed
}

func sealableFields(f TokenFields) *sealedToken {
	return &sealedToken{
		Access: f.Access, Refresh: f.Refresh, Type: f.Type, Subject: f.Subject, Key: privatekey.Marshal(f.Key),
		Issued: milli(f.Issued), Expiry: milli(f.Expiry), RefreshExpiry: milli(f.RefreshExpiry),
	}
}

// token returns the zero Token for nil.
func (s *sealedToken) token() Token {
	if s == nil {
		return Token{}
	}
	var others map[string]TokenFields
	if len(s.Others) > 0 {
		others = make(map[string]TokenFields, len(s.Others))
	}
	for resource, o := range s.Others {
		if o.Access != "" {
			others[resource] = o.fields()
		}
	}
	return compose(s.fields(), others)
}

func (s *sealedToken) fields() TokenFields {
	return TokenFields{
		Access: s.Access, Refresh: s.Refresh, Type: s.Type, Subject: s.Subject, Key: privatekey.Parse(s.Key),
		Issued: fromMilli(s.Issued), Expiry: fromMilli(s.Expiry), RefreshExpiry: fromMilli(s.RefreshExpiry),
	}
}

func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func newNonce() (n [nonceSize]byte) {
	rand.Read(n[:]) // never fails
	return n
}

// seal encodes r. The payload is written where it is sealed.
func (k keys) seal(r record) []byte {
	out := make(compact.Buffer, 0, headerSize+r.payload.length()+k.aead.Overhead())
	out = append(append(out, format, byte(r.state)), r.nonce[:]...)
	r.payload.write(&out)
	return k.aead.Seal(out[:headerSize], nil, out[headerSize:], k.associated())
}

var (
	errFormat = errors.New("rebearer: the Store holds a value of an unknown format")
	errSeal   = errors.New("rebearer: the Store holds a value that does not open")
)

// open decodes an entry. What it cannot read is an error and never absent.
func (k keys) open(e Entry) (record, error) {
	if e.Version == "" {
		return record{}, nil
	}
	if len(e.Value) < headerSize || e.Value[0] != format {
		return record{}, errFormat
	}
	r := record{state: state(e.Value[1])}
	copy(r.nonce[:], e.Value[2:headerSize])
	plain, err := k.aead.Open(nil, nil, e.Value[headerSize:], k.associated())
	if err != nil {
		return record{}, errSeal
	}
	if r.payload.read(plain) != nil {
		return record{}, errFormat
	}
	switch r.state {
	case born, held:
	case done, received, noted:
		if r.Token == nil {
			return record{}, errFormat
		}
	case failed, over:
		if r.Failure == nil {
			return record{}, errFormat
		}
		if r.state == over && !r.Failure.Reason.Ends() {
			r.Failure.Reason = reason.LoggedOut // a newer version's word for an end
		}
	default:
		return record{}, errFormat
	}
	return r, nil
}

// associated binds a value to its key and format, so that the value of one
// session cannot be passed off as another's.
func (k keys) associated() []byte {
	return append(append(make([]byte, 0, 1+len(k.id)), format), k.id...)
}

// asReceived returns the value of a done entry with its state turned to
// received. Only the holder of the older token can open the payload, but who
// shows the newer one may say that it arrived.
func asReceived(value []byte) []byte {
	v := bytes.Clone(value)
	v[1] = byte(received)
	return v
}

// stateOf returns the state of a value without opening it.
func stateOf(value []byte) state {
	if len(value) < headerSize || value[0] != format {
		return absent
	}
	return state(value[1])
}
