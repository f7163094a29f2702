package claims

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxDepth is deeper than any claim is nested. The scanner calls itself.
const maxDepth = 32

// scan reads the claims of a payload without making a map of it. It takes what
// encoding/json would take, but for the rare: a member's name with an escape, a
// claim that is nested deeply. For that, and for all that is no JSON object,
// ok is false, and encoding/json decides: see [whole].
func scan(raw []byte) (c Claims, ok bool) {
	s := scanner{raw: raw}
	ok = s.peek() == '{' && s.object(0, &c) && s.peek() == 0 && s.at == len(raw)
	return c, ok
}

// scanner goes through a text in JSON (RFC 8259). Its methods begin at what they
// are named after, end behind it, and report whether it was one.
type scanner struct {
	raw []byte
	at  int
}

// peek skips white space and returns the byte that follows, 0 at the end. JSON
// has no such byte outside of strings.
func (s *scanner) peek() byte {
	for ; s.at < len(s.raw); s.at++ {
		switch c := s.raw[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// object hands the members to c, unless that is nil.
func (s *scanner) object(depth int, c *Claims) bool {
	s.at++
	if s.peek() == '}' {
		s.at++
		return true
	}
	for {
		s.peek()
		name := s.at
		if !s.text() {
			return false
		}
		end := s.at
		if s.peek() != ':' {
			return false
		}
		s.at++
		s.peek()
		value := s.at
		if !s.value(depth) || c != nil && !c.take(s.raw[name:end], s.raw[value:s.at]) {
			return false
		}
		switch s.peek() {
		case ',':
			s.at++
		case '}':
			s.at++
			return true
		default:
			return false
		}
	}
}

func (s *scanner) array(depth int) bool {
	s.at++
	if s.peek() == ']' {
		s.at++
		return true
	}
	for {
		s.peek()
		if !s.value(depth) {
			return false
		}
		switch s.peek() {
		case ',':
			s.at++
		case ']':
			s.at++
			return true
		default:
			return false
		}
	}
}

func (s *scanner) value(depth int) bool {
	switch c := s.peek(); {
	case depth == maxDepth:
		return false
	case c == '"':
		return s.text()
	case c == '{':
		return s.object(depth+1, nil)
	case c == '[':
		return s.array(depth + 1)
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return s.number()
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.raw[s.at:], []byte(w)) {
		return false
	}
	s.at += len(w)
	return true
}

func (s *scanner) text() bool {
	if s.at == len(s.raw) || s.raw[s.at] != '"' {
		return false
	}
	for s.at++; s.at < len(s.raw); s.at++ {
		switch c := s.raw[s.at]; {
		case c == '"':
			s.at++
			return true
		case c == '\\':
			if s.at++; !s.escape() {
				return false
			}
		case c < ' ':
			return false
		}
	}
	return false
}

// escape ends at the last byte, for text goes on behind it.
func (s *scanner) escape() bool {
	if s.at == len(s.raw) {
		return false
	}
	switch s.raw[s.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if s.at++; s.at == len(s.raw) || !hex(s.raw[s.at]) {
				return false
			}
		}
		return true
	}
	return false
}

func hex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (s *scanner) number() bool {
	s.skip("-")
	if !s.skip("0") && !s.digits() {
		return false
	}
	if s.skip(".") && !s.digits() {
		return false
	}
	if s.skip("eE") {
		s.skip("+-")
		return s.digits()
	}
	return true
}

// skip goes past one of the bytes.
func (s *scanner) skip(any string) bool {
	if s.at < len(s.raw) {
		for i := range len(any) {
			if s.raw[s.at] == any[i] {
				s.at++
				return true
			}
		}
	}
	return false
}

func (s *scanner) digits() bool {
	begin := s.at
	for s.at < len(s.raw) && '0' <= s.raw[s.at] && s.raw[s.at] <= '9' {
		s.at++
	}
	return s.at > begin
}

// take keeps a member, the last one of a name. It reports whether it knows the
// name for what it is.
func (c *Claims) take(name, value []byte) bool {
	if bytes.IndexByte(name, '\\') >= 0 {
		return false
	}
	switch string(name) {
	case `"exp"`:
		c.Expiry = number(value)
	case `"iat"`:
		c.IssuedAt = number(value)
	case `"sub"`:
		c.Subject = text(value)
	}
	return true
}

// number is date for a value that is one in JSON.
func number(value []byte) time.Time {
	if value[0] < '0' || value[0] > '9' { // one that is negative is none of ours
		return time.Time{}
	}
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		return time.Time{}
	}
	return instant(f)
}

// text returns a string in JSON; "" for what is none.
func text(value []byte) string {
	if value[0] != '"' {
		return ""
	}
	if inner := value[1 : len(value)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	var s string
	json.Unmarshal(bytes.Clone(value), &s) // a copy, or every payload would be on the heap
	return s
}
