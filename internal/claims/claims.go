// Package claims reads the few claims of a JWT that decide when it is renewed,
// and whether that brought somebody else's. It verifies nothing: a forged exp
// only changes when the authorization server is asked, and a forged sub ends the
// session that it was shown with.
package claims

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"time"
)

// Claims are what could be read. Zero values stand for what could not.
type Claims struct {
	Expiry   time.Time // exp
	IssuedAt time.Time // iat
	Subject  string    // sub
}

// maxLength keeps a hostile token from costing more than a look at its length.
const maxLength = 64 << 10

// year2100 is the end of what a NumericDate may say here: whatever lies past it
// is a mistake or an attempt to overflow.
const year2100 = 4102444800

// usual is longer than most payloads, so that they are decoded on the stack.
const usual = 2 << 10

// Parse reads the claims of a JWS in compact serialization (RFC 7519 section
// 3). An opaque token, a JWE or nonsense gives the zero Claims. It allocates the
// subject, and for a payload that is out of the usual.
func Parse(token string) Claims {
	if len(token) > maxLength || strings.Count(token, ".") != 2 {
		return Claims{}
	}
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	var stack [usual]byte
	raw := stack[:]
	if n := base64.RawURLEncoding.DecodedLen(len(payload)); n > len(raw) {
		raw = make([]byte, n)
	}
	n, err := base64.RawURLEncoding.Decode(raw, []byte(payload))
	if err != nil {
		return Claims{}
	}
	if c, ok := scan(raw[:n]); ok {
		return c
	}
	return whole(bytes.Clone(raw[:n]))
}

// whole reads the claims with encoding/json, whose word is final.
func whole(raw []byte) Claims {
	// A map, because struct fields would also match EXP, Exp and eXp.
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return Claims{}
	}
	var sub string
	if json.Unmarshal(m["sub"], &sub) != nil {
		sub = ""
	}
	return Claims{Expiry: date(m["exp"]), IssuedAt: date(m["iat"]), Subject: sub}
}

// date reads a NumericDate: a JSON number between 1970 and 2100.
func date(raw json.RawMessage) time.Time {
	var f float64
	if len(raw) == 0 || json.Unmarshal(raw, &f) != nil {
		return time.Time{}
	}
	return instant(f)
}

func instant(f float64) time.Time {
	if !(f > 0 && f < year2100) {
		return time.Time{}
	}
	sec, frac := math.Modf(f)
	return time.Unix(int64(sec), int64(frac*1e9))
}
