// Package challenge reads WWW-Authenticate and decides what a refused request
// needs: another token, another sign-in, or nothing that a token could give.
package challenge

import "strings"

// What is read of a header, so that its sender decides neither our memory nor
// our time. Real challenges are a few hundred bytes.
const (
	maxBytes      = 16 << 10 // over all values
	maxChallenges = 16
)

// Challenge is one challenge (RFC 9110 section 11.3).
type Challenge struct {
	// Scheme is in lower case: schemes are case-insensitive.
	Scheme string
	// Params are by name, in lower case. Where a name occurs twice, which is
	// not allowed (RFC 9110 section 11.2), the first one stands. It is nil if
	// there are none. A token68 is skipped: no scheme that is about access
	// tokens has one.
	Params map[string]string
}

// Parse returns the challenges of the values of one WWW-Authenticate field
// (RFC 9110 section 11.6.1), in their order. What does not parse is left out,
// up to the next comma that is not quoted; a quoted string without an end
// reaches to the end of its line. At most 16 KiB over all values and 16
// challenges are considered, in one pass; the rest is ignored.
func Parse(values []string) []Challenge {
	var list []Challenge
	left := maxBytes
	for _, line := range values {
		if len(line) > left {
			// Half an element must not be taken for a whole one.
			line = line[:strings.LastIndexByte(line[:left], ',')+1]
			left = len(line)
		}
		left -= len(line)
		// The end of a line is a comma (RFC 9110 section 5.3): the next one
		// may go on with the parameters of the same challenge.
		list = appendLine(list, line)
		if len(list) > maxChallenges {
			return list[:maxChallenges]
		}
	}
	return list
}

// appendLine returns as soon as it has one challenge too many.
func appendLine(list []Challenge, s string) []Challenge {
	// Schemes and parameters are separated by the same comma. What tells them
	// apart is the "=" of a parameter, and that a scheme stands first.
	first := true
	for {
		s = trimSpace(s)
		if s == "" {
			return list
		}
		if s[0] == ',' {
			first, s = true, s[1:]
			continue
		}
		name, rest := cutToken(s)
		value, isParam := strings.CutPrefix(trimSpace(rest), "=")
		switch {
		case name == "":
			s = skipElement(s)
		case isParam:
			var ok bool
			value, s, ok = cutValue(trimSpace(value))
			if ok && len(list) > 0 {
				list[len(list)-1].add(name, value)
			}
		case first && ends(rest):
			list = append(list, Challenge{Scheme: strings.ToLower(name)})
			if len(list) > maxChallenges {
				return list
			}
			s = skipToken68(trimSpace(rest))
		default:
			s = skipElement(s)
		}
		first = false
	}
}

func (c *Challenge) add(name, value string) {
	if c.Params == nil {
		c.Params = make(map[string]string)
	}
	name = strings.ToLower(name)
	if _, ok := c.Params[name]; !ok {
		c.Params[name] = value
	}
}

// cutValue cuts the value of a parameter off s. It takes more unquoted than a
// token may hold (RFC 9110 section 5.6.2), since scopes and acr values are
// seen without the quotes that their ":" and "/" would need.
func cutValue(s string) (value, rest string, ok bool) {
	if s != "" && s[0] == '"' {
		end := quotedEnd(s)
		if end < 0 {
			return "", "", false
		}
		return unquote(s[:end]), s[end:], true
	}
	end := strings.IndexAny(s, ", \t")
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:], end > 0
}

// quotedEnd returns the length of the quoted string (RFC 9110 section 5.6.4)
// that s starts with, or -1 if it has no end.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

func unquote(s string) string {
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++ // quotedEnd has seen that one follows
		}
		b = append(b, s[i])
	}
	return string(b)
}

// skipToken68 skips a token68 (RFC 9110 section 11.2), which looks like a
// parameter until it turns out that nothing follows the "=".
func skipToken68(s string) string {
	end := 0
	for end < len(s) && (isAlphanumeric(s[end]) || strings.IndexByte("-._~+/", s[end]) >= 0) {
		end++
	}
	if rest := trimSpace(strings.TrimLeft(s[end:], "=")); end > 0 && (rest == "" || rest[0] == ',') {
		return rest
	}
	return s
}

// skipElement skips to the next comma that is not quoted.
func skipElement(s string) string {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ',':
			return s[i:]
		case '"':
			end := quotedEnd(s[i:])
			if end < 0 {
				return ""
			}
			i += end - 1
		}
	}
	return ""
}

func cutToken(s string) (token, rest string) {
	end := 0
	for end < len(s) && (isAlphanumeric(s[end]) || strings.IndexByte("!#$%&'*+-.^_`|~", s[end]) >= 0) {
		end++
	}
	return s[:end], s[end:]
}

// ends reports whether a token before s ends there.
func ends(s string) bool { return s == "" || s[0] == ' ' || s[0] == '\t' || s[0] == ',' }

func trimSpace(s string) string { return strings.TrimLeft(s, " \t") }

func isAlphanumeric(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
}
