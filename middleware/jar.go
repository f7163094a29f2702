package middleware

import (
	"maps"
	"net/http"
	"strings"
	"unicode"
)

// maxCandidates is how many cookies of one name are looked at.
const maxCandidates = 4

// jar is what a request shows of our cookies.
type jar struct {
	access, refresh, key values
	session              values
	more                 []chunk  // of a sealed cookie
	former               []string // the names of those from another place
}

// values are those of the cookies of one name, in their order.
type values struct {
	n   int
	all [maxCandidates]string
}

func (v *values) at(i int) string {
	if i < v.n {
		return v.all[i]
	}
	return ""
}

// of is at, but for a value that is there once: it belongs to whatever else there
// is, since a stray cookie of another name says nothing about it.
func (v *values) of(i int) string {
	if v.n == 1 {
		return v.all[0]
	}
	return v.at(i)
}

// add takes what stands behind the equals sign. What net/http would not read is
// not there.
func (v *values) add(raw string) {
	if v.n == maxCandidates {
		return
	}
	raw = trimRight(raw)
	if len(raw) > 1 && raw[0] == '"' && raw[len(raw)-1] == '"' {
		raw = raw[1 : len(raw)-1]
	}
	if !permitted(raw) {
		return
	}
	if value, ok := decode(raw); ok {
		v.all[v.n] = value
		v.n++
	}
}

// isSpace reports whether net/http trims the byte around a cookie.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func trimRight(s string) string {
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// permitted reports whether net/http reads the value of a cookie: it may have
// spaces and commas, as RFC 6265 section 5.2 has it for user agents. It has no
// semicolon here. Tokens are long, so that eight bytes are looked at together.
func permitted(value string) bool {
	const ones = 0x0101010101010101
	for ; len(value) >= 8; value = value[8:] {
		w := uint64(value[0]) | uint64(value[1])<<8 | uint64(value[2])<<16 | uint64(value[3])<<24 |
			uint64(value[4])<<32 | uint64(value[5])<<40 | uint64(value[6])<<48 | uint64(value[7])<<56
		// The high bit of a byte is set if one of them is not ASCII, is below
		// a space, or is what zero finds.
		if bad := w | (w - ' '*ones) | zero(w^'\x7f'*ones) | zero(w^'"'*ones) | zero(w^'\\'*ones); bad&(0x80*ones) != 0 {
			return false
		}
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// zero sets the high bit of a byte that is 0, and of none if there is no such
// byte.
func zero(w uint64) uint64 { return (w - 0x0101010101010101) &^ w }

// sort puts our cookies of a line of the Cookie header into the jar. It returns
// the line without them, and whether there is one: what a handler passes on,
// such as a ReverseProxy, must tell nobody the tokens. The line is copied only
// where ours stand between others.
func (a *Authenticator) sort(line string, into *jar) (rest string, some bool) {
	var copied strings.Builder
	from, to := 0, 0 // rest, unless it is copied
	for at := 0; at <= len(line); {
		end := len(line)
		if i := strings.IndexByte(line[at:], ';'); i >= 0 {
			end = at + i
		}
		part := strings.TrimLeftFunc(line[at:end], unicode.IsSpace)
		begin := end - len(part)
		part = strings.TrimRightFunc(part, unicode.IsSpace)
		name, _, _ := strings.Cut(part, "=")
		name = strings.TrimRightFunc(name, unicode.IsSpace)
		switch next := begin + len(part); {
		case a.ours(name):
			a.keep(name, line[at:end], into)
		case !some:
			from, to, some = begin, next, true
		case copied.Len() == 0 && line[to:begin] == "; ":
			to = next
		default:
			if copied.Len() == 0 {
				copied.Grow(len(line))
				copied.WriteString(line[from:to])
			}
			copied.WriteString("; ")
			copied.WriteString(part)
		}
		at = end + 1
	}
	if copied.Len() > 0 {
		return copied.String(), true
	}
	return line[from:to], some
}

// keep puts a cookie into the jar. One whose name net/http would trim otherwise
// is ours, and not read.
func (a *Authenticator) keep(name, cookie string, into *jar) {
	shown, value, _ := strings.Cut(cookie, "=")
	for shown != "" && isSpace(shown[0]) {
		shown = shown[1:]
	}
	if trimRight(shown) != name {
		return
	}
	if a.former(name) {
		into.former = append(into.former, name)
		return
	}
	switch name {
	case a.names.access:
		into.access.add(value)
	case a.names.refresh:
		into.refresh.add(value)
	case a.names.key:
		into.key.add(value)
	case a.names.session:
		into.session.add(value)
	default:
		if i := a.chunk(name); i > 0 && len(into.more) < maxChunks*maxCandidates {
			var one values
			one.add(value)
			into.more = append(into.more, chunk{i, one.at(0)})
		}
	}
}

// withoutOurs returns a copy of the request's header without our cookies.
func (s *session) withoutOurs(h http.Header) http.Header {
	out := maps.Clone(h)
	if len(s.rest) > 0 {
		out["Cookie"] = s.rest
	} else {
		delete(out, "Cookie")
	}
	return out
}
