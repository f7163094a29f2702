package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object whose members are matched by their exact names.
// encoding/json would let Access_Token win over access_token.
type object map[string]json.RawMessage

var errNotJSON = errors.New("the answer is not a JSON object")

// members reads an object, and nothing but an object. Of a broken one it
// returns what could be read with the error. A member that is there twice, with
// different values, has none.
func members(body []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errNotJSON
	}
	m := object{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return m, errNotJSON
		}
		var v json.RawMessage
		if dec.Decode(&v) != nil {
			return m, errNotJSON
		}
		if was, twice := m[name]; twice && !bytes.Equal(was, v) {
			v = nil
		}
		m[name] = v
	}
	if _, err := dec.Token(); err != nil {
		return m, errNotJSON
	}
	if _, err := dec.Token(); err != io.EOF {
		return m, errNotJSON
	}
	return m, nil
}

// text returns a member that is a string and not empty.
func (m object) text(name string) (string, bool) {
	var s string
	if raw, ok := m[name]; !ok || json.Unmarshal(raw, &s) != nil || s == "" {
		return "", false
	}
	return s, true
}

// code returns the error code of an answer. Not all servers call it "error".
func (m object) code() string {
	for _, name := range []string{"error", "error_code"} {
		if s, ok := m.text(name); ok {
			return s
		}
	}
	return ""
}

// tenYears is longer than any token lives; what says more means "very long".
const tenYears = 10 * 365 * 24 * time.Hour

// in reads a lifetime in seconds and returns when it ends, or zero if that is
// not known. A server that says 0 or less says nothing of use.
func (m object) in(name string, now time.Time) time.Time {
	text := string(m[name])
	if s, ok := m.text(name); ok {
		text = s
	}
	seconds, err := strconv.ParseFloat(text, 64)
	switch {
	case math.IsInf(seconds, 1): // also of what ParseFloat finds out of range
	case err != nil || !(seconds > 0):
		return time.Time{}
	}
	return now.Add(time.Duration(min(seconds, tenYears.Seconds()) * float64(time.Second)))
}

// sendable reports whether a token of an answer can be used: one to 64 KiB of
// visible ASCII, and no word that some program wrote for nothing.
func sendable(token string) bool {
	return keepable(token) && !strings.Contains(token, " ")
}

// keepable is sendable for a refresh token, which may hold spaces (RFC 6749
// appendix A.17) since it never stands in a header of its own.
func keepable(token string) bool {
	if token == "" || len(token) > 64<<10 || token == "null" || token == "undefined" {
		return false
	}
	for i := range len(token) {
		if token[i] < ' ' || token[i] > '~' {
			return false
		}
	}
	return true
}

func isBearer(typ string) bool { return strings.EqualFold(typ, "Bearer") }
