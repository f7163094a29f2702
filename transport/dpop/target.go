package dpop

import (
	"errors"
	"net/url"
	"strings"
)

// target returns the URI of a request without query and fragment, which is the
// htu of its proof (RFC 9449 section 4.2), in two parts: origin and path. host
// is the Host that is sent, or empty if it is the URL's. The origin is
// normalised as servers compare it (RFC 3986 sections 6.2.2 and 6.2.3), and the
// path is as it is sent: who changes an escape in it may change what it means.
func target(u *url.URL, host string) (origin, path string, err error) {
	if u == nil {
		return "", "", errors.New("dpop: there is no URL")
	}
	if host == "" {
		host = u.Host
	}
	if !fit(host) {
		return "", "", errors.New("dpop: the host is empty, or not ASCII (write it in punycode), or has a zone")
	}
	port := ":80"
	switch u.Scheme { // lower case, or net/http does not send it
	case "http":
		origin = "http://"
	case "https":
		origin, port = "https://", ":443"
	default:
		return "", "", errors.New("dpop: the scheme of the URL is not http or https")
	}
	host = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(host), port), ":")
	if path = u.EscapedPath(); path == "" {
		path = "/"
	}
	if u.Opaque != "" || path[0] != '/' {
		return "", "", errors.New("dpop: the URL is opaque, or its path does not begin with a slash")
	}
	return origin + host, path, nil
}

// fit reports whether host has only what net/http sends as it is.
func fit(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', strings.IndexByte("-_.:[]", c) >= 0:
		default:
			return false
		}
	}
	return host != "" && host[0] != ':'
}
