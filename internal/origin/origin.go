// Package origin tells where tokens may go. Two URLs are of one origin if
// scheme, host and port are the same (RFC 6454 section 4).
package origin

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Set is a set of origins, each with a value. It is safe for concurrent use; a
// nil Set is empty.
type Set struct {
	origins map[origin]string
	spelled []spelling
}

// spelling is an origin as URLs have it as a rule: as it was configured. Those
// need not be taken apart.
type spelling struct{ scheme, host, value string }

// origin is normalised, so that == compares.
type origin struct {
	scheme string
	host   string     // lower case, no trailing dot; "" if it is an address
	addr   netip.Addr // not unmapped: ::ffff:127.0.0.1 is not 127.0.0.1
	port   string     // never ""
}

// Parse returns the set of the given origins, each scheme://host[:port] with
// scheme http or https. A trailing slash is allowed; a user, path, query,
// fragment, wildcard or zone is not, nor is a host that is not ASCII. An error
// names the entry, without what could be a secret in it.
//
// Those of values are in the set, too, and have the value; all others have "".
func Parse(origins []string, values map[string]string) (*Set, error) {
	s := &Set{origins: make(map[origin]string, len(origins)+len(values))}
	for i, entry := range origins {
		o, wrong := parse(entry)
		if wrong != "" {
			return nil, fmt.Errorf("rebearer: origin %d of %d, %q: %s", i+1, len(origins), shown(entry), wrong)
		}
		s.origins[o] = ""
	}
	spelled := map[origin]bool{}
	for _, entry := range slices.Sorted(maps.Keys(values)) {
		o, wrong := parse(entry)
		if wrong == "" && spelled[o] && s.origins[o] != values[entry] {
			wrong = "is there in another spelling, with another value"
		}
		if wrong != "" {
			return nil, fmt.Errorf("rebearer: origin %q: %s", shown(entry), wrong)
		}
		s.origins[o], spelled[o] = values[entry], true
	}
	for _, entry := range append(slices.Sorted(maps.Keys(values)), origins...) {
		s.remember(entry)
	}
	return s, nil
}

// maxSpelled keeps a long list from being gone through: a map is faster.
const maxSpelled = 8

func (s *Set) remember(entry string) {
	u := split(entry)
	if value, ok := s.find(u); ok && len(s.spelled) < maxSpelled {
		s.spelled = append(s.spelled, spelling{u.Scheme, u.Host, value})
	}
}

// Contains reports whether u is of one of the origins. Nothing is guessed: a
// URL with a user, an opaque one, and one whose host is not spelled in plain
// letters, digits, dots, hyphens and underscores or as an address in its usual
// form, is of none of them.
func (s *Set) Contains(u *url.URL) bool {
	_, ok := s.Lookup(u)
	return ok
}

// Lookup is Contains, and returns the value of the origin.
func (s *Set) Lookup(u *url.URL) (value string, ok bool) {
	if s == nil || u == nil {
		return "", false
	}
	if u.User == nil && u.Opaque == "" {
		for i := range s.spelled {
			if p := &s.spelled[i]; p.host == u.Host && p.scheme == u.Scheme {
				return p.value, true
			}
		}
	}
	return s.find(u)
}

func (s *Set) find(u *url.URL) (value string, ok bool) {
	o, wrong := of(u)
	if wrong != "" {
		return "", false
	}
	value, ok = s.origins[o]
	return value, ok
}

// Loopback reports whether u is an http or https URL of this machine by its
// spelling alone: localhost, exactly so, 127.0.0.0/8 and ::1. Names below
// localhost and its other spellings are this machine's too (RFC 6761 section
// 6.3), but net/http sends them to the proxy that the environment names.
func Loopback(u *url.URL) bool {
	if u == nil {
		return false
	}
	o, wrong := of(u)
	if wrong != "" {
		return false
	}
	return u.Hostname() == "localhost" || o.addr.IsLoopback() && !o.addr.Is4In6()
}

// parse does not use net/url, whose errors quote what may be a password.
func parse(entry string) (o origin, wrong string) {
	_, host, ok := strings.Cut(entry, "://")
	if !ok {
		return o, "not of the form scheme://host[:port]"
	}
	host = strings.TrimSuffix(host, "/")
	switch {
	case strings.ContainsAny(host, "?#"):
		return o, "has a query or a fragment"
	case strings.Contains(host, "@"):
		return o, "has a user"
	case strings.Contains(host, "/"):
		return o, "has a path"
	case strings.HasSuffix(host, ":"):
		return o, "has an empty port"
	}
	return of(split(entry))
}

// split returns the URL of an entry that has nothing but scheme and host.
func split(entry string) *url.URL {
	scheme, host, _ := strings.Cut(entry, "://")
	return &url.URL{Scheme: strings.ToLower(scheme), Host: strings.TrimSuffix(host, "/")}
}

// of returns the origin of u, or what is wrong with it.
func of(u *url.URL) (o origin, wrong string) {
	// Exactly as url.Parse writes it: callers tell http from https by it.
	switch o.scheme = u.Scheme; o.scheme {
	case "http":
		o.port = "80"
	case "https":
		o.port = "443"
	default:
		return o, "its scheme is not http or https"
	}
	if u.User != nil || u.Opaque != "" {
		return o, "has a user or is opaque"
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '0' {
			return o, "its port is not of 1 to 65535"
		}
		o.port = port
	}
	// net/http dials Hostname and Port; so that is what is looked at here.
	if host := u.Hostname(); strings.HasPrefix(u.Host, "[") {
		o.addr, wrong = ipv6(host)
	} else if wrong = unfit(host); wrong == "" && numeric(host) {
		// Resolvers disagree on 127.1, 0x7f.1, 2130706433 and 127.0.0.1.: only
		// the usual form is the address, the others are nothing.
		if o.addr, _ = netip.ParseAddr(host); !o.addr.IsValid() {
			wrong = "its host is not an IPv4 address in dotted decimal form"
		}
	} else {
		o.host = strings.ToLower(strings.TrimSuffix(host, "."))
	}
	return o, wrong
}

func ipv6(host string) (addr netip.Addr, wrong string) {
	if strings.Contains(host, "%") {
		return addr, "its host has a zone"
	}
	addr, _ = netip.ParseAddr(host)
	if !addr.Is6() {
		return addr, "its host is not an IPv6 address"
	}
	return addr, ""
}

// unfit returns why host is not a name, nor an IPv4 address.
func unfit(host string) string {
	if host == "" || host == "." {
		return "its host is empty"
	}
	if len(host) > 254 { // with a trailing dot (RFC 1035 section 2.3.4)
		return "its host is too long"
	}
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.' && i > 0 && host[i-1] != '.':
		case c == '.':
			return "its host has an empty label"
		case c == '*':
			return "wildcards are not supported: list each origin"
		case c >= 0x80:
			return "its host is not ASCII: write it in punycode (xn--...)"
		case c == ':':
			return "its port is not a number, or its IPv6 address is not in brackets"
		default:
			return "its host has a character that no host has"
		}
	}
	return ""
}

// numeric reports whether a resolver may take the fit host for an IPv4 address:
// whether its last label is a number (WHATWG URL, «ends in a number»).
func numeric(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last[0] < '0' || last[0] > '9' {
		return false
	}
	if len(last) > 1 && last[0] == '0' && last[1]|0x20 == 'x' {
		return strings.Trim(last[2:], "0123456789abcdefABCDEF") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// shown is as much of the entry as cannot be a password or a token. What comes
// before an "@" cannot be told from either.
func shown(entry string) string {
	if strings.Contains(entry, "@") {
		scheme, _, ok := strings.Cut(entry, "://")
		if !ok || strings.Contains(scheme, "@") {
			return "..."
		}
		return scheme + "://..."
	}
	if i := strings.IndexAny(entry, "?#"); i >= 0 {
		return entry[:i+1] + "..."
	}
	return entry
}
