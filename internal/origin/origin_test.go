package origin_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/internal/origin"
)

// B3, T-A1, T-A3
func TestContains(t *testing.T) {
	for _, test := range []struct {
		name, entry, url string
		want             bool
	}{
		{"the same spelling", "https://api.example.com", "https://api.example.com/v1?x=y#z", true},
		{"the default port spelled out in the URL", "https://h", "https://h:443/", true},
		{"the default port spelled out in the entry", "http://h:80", "http://h", true},
		{"an empty port is the default port", "https://h", "https://h:/", true},
		{"a port of its own", "https://h:8443", "https://h:8443/", true},
		{"upper case in the URL", "https://api.example.com", "HTTPS://API.Example.COM/", true},
		{"upper case in the entry", "HTTPS://API.Example.COM", "https://api.example.com/", true},
		{"a trailing dot in the URL", "https://h.example", "https://h.example.:443/", true},
		{"a trailing dot in the entry", "https://h.example.", "https://h.example/", true},
		{"a trailing slash in the entry", "https://h/", "https://h", true},
		{"punycode", "https://xn--bcher-kva.example", "https://XN--bcher-kva.example/", true},
		{"an underscore", "http://api_1:8080", "http://api_1:8080/", true},
		{"IPv4", "http://127.0.0.1:8080", "http://127.0.0.1:8080/", true},
		{"IPv6 in another spelling", "https://[2001:DB8::1]", "https://[2001:db8:0:0:0:0:0:1]:443/", true},
		{"IPv4-mapped IPv6 in another spelling", "https://[::ffff:127.0.0.1]", "https://[::ffff:7f00:1]/", true},

		{"another port", "https://h", "https://h:8443/", false},
		{"another scheme", "https://h", "http://h/", false},
		{"another scheme on the same port", "https://h", "http://h:443/", false},
		{"the other scheme's default port", "https://h", "https://h:80/", false},
		{"a subdomain", "https://h.example", "https://sub.h.example/", false},
		{"the parent domain", "https://sub.h.example", "https://h.example/", false},
		{"the host as a prefix", "https://h", "https://h.evil/", false},
		{"the host as a suffix", "https://h", "https://evilh/", false},
		{"the host as a user", "https://h", "https://h@evil/", false},
		{"a user at the host", "https://h", "https://u:p@h/", false},
		{"an empty user at the host", "https://h", "https://@h/", false},
		{"a user that looks like the host and its port", "https://h", "https://h:443@evil/", false},
		{"a scheme that is neither", "https://h", "ftp://h:443/", false},
		{"a URL without a scheme", "https://h", "//h/", false},
		{"an opaque URL", "https://h", "https:h", false},
		{"a port with leading zeros", "https://h:443", "https://h:0443/", false},
		{"a port that overflows to the same 16 bits", "https://h", "https://h:65979/", false},
		{"port 0", "https://h", "https://h:0/", false},
		{"two trailing dots", "https://h", "https://h../", false},
		{"an empty label", "https://a.b", "https://a..b/", false},
		{"a Kelvin sign is no k", "https://k.example", "https://\u212a.example/", false},
		{"a fullwidth letter is no letter", "https://h.example", "https://\uff48.example/", false},
		{"an ideographic full stop is no dot", "https://a.example", "https://a\u3002example/", false},
		{"a soft hyphen is not ignored", "https://api.example", "https://a\u00adpi.example/", false},
		{"a percent-encoded letter beyond ASCII", "https://b\u0075cher.example", "https://b%C3%BCcher.example/", false},
		{"punycode's letters", "https://xn--bcher-kva.example", "https://b\u00fccher.example/", false},
		{"IPv4 in hexadecimal", "http://127.0.0.1", "http://0x7f.1/", false},
		{"IPv4 as one number", "http://127.0.0.1", "http://2130706433/", false},
		{"IPv4 in short", "http://127.0.0.1", "http://127.1/", false},
		{"IPv4 in octal", "http://127.0.0.1", "http://0177.0.0.1/", false},
		{"IPv4 with a trailing dot", "http://127.0.0.1", "http://127.0.0.1./", false},
		{"IPv4-mapped IPv6", "http://127.0.0.1", "http://[::ffff:127.0.0.1]/", false},
		{"IPv4 mapped by the entry", "http://[::ffff:127.0.0.1]", "http://127.0.0.1/", false},
		{"IPv6 with a zone", "http://[fe80::1]", "http://[fe80::1%25eth0]/", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := origin.Parse([]string{"https://other.example:1", test.entry}, nil)
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(test.url)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Contains(u); got != test.want {
				t.Errorf("%s contains %s: %v, want %v", test.entry, test.url, got, test.want)
			}
		})
	}
}

// B3, T-A1: net/http takes a URL that url.Parse would not have made.
func TestContainsTrustsNoURLThatWasMadeByHand(t *testing.T) {
	s, err := origin.Parse([]string{"https://h", "https://127.0.0.1", "https://[::1]"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []*url.URL{
		nil,
		{},
		{Host: "h"},
		{Scheme: "https"},
		{Scheme: "HTTPS", Host: "h"}, // callers compare the scheme to tell http from https
		{Scheme: "https ", Host: "h"},
		{Scheme: "https", Host: "h", Opaque: "//evil/"},
		{Scheme: "https", Host: "h", User: &url.Userinfo{}},
		{Scheme: "https", Host: "u@h"},
		{Scheme: "https", Host: "h/"},
		{Scheme: "https", Host: "h/x"},
		{Scheme: "https", Host: "h?x"},
		{Scheme: "https", Host: "h#x"},
		{Scheme: "https", Host: `h\`},
		{Scheme: "https", Host: `evil\@h`},
		{Scheme: "https", Host: "h\t"},
		{Scheme: "https", Host: "\th"},
		{Scheme: "https", Host: "h\r\n"},
		{Scheme: "https", Host: "h\x00"},
		{Scheme: "https", Host: " h"},
		{Scheme: "https", Host: "%68"},
		{Scheme: "https", Host: "h%00"},
		{Scheme: "https", Host: "h,h"},
		{Scheme: "https", Host: "*"},
		{Scheme: "https", Host: "."},
		{Scheme: "https", Host: ".h"},
		{Scheme: "https", Host: ":443"},
		{Scheme: "https", Host: "h:443:443"},
		{Scheme: "https", Host: "h:https"},
		{Scheme: "https", Host: "h:+443"},
		{Scheme: "https", Host: "h:99999999999999999999"},
		{Scheme: "https", Host: "[h]"},
		{Scheme: "https", Host: "[127.0.0.1]"},
		{Scheme: "https", Host: "::1"},
		{Scheme: "https", Host: "[::1"},
		{Scheme: "https", Host: "::1]"},
		{Scheme: "https", Host: "[[::1]]"},
		{Scheme: "https", Host: "[::1]h"},
		{Scheme: "https", Host: "[::1]:x"},
		{Scheme: "https", Host: "[::1%]"},
		{Scheme: "https", Host: "[]"},
		{Scheme: "https", Host: strings.Repeat("h", 1<<16)},
	} {
		if s.Contains(u) {
			t.Errorf("contains %#v", u)
		}
	}
	for _, host := range []string{"h", "H.", "h:", "h:443", "127.0.0.1", "[::1]", "[0::1]:443"} {
		if !s.Contains(&url.URL{Scheme: "https", Host: host}) {
			t.Errorf("does not contain %q", host)
		}
	}
}

func TestAnEmptySetContainsNothing(t *testing.T) {
	u := &url.URL{Scheme: "https", Host: "h"}
	none, err := origin.Parse(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*origin.Set{nil, {}, none} {
		if s.Contains(u) || s.Contains(nil) {
			t.Errorf("%v contains something", s)
		}
	}
}

// B3, T-A1
func TestParseNamesWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ name, entry, want string }{
		{"an empty entry", "", "form"},
		{"no scheme", "api.example.com", "form"},
		{"no scheme but a port", "api.example.com:443", "form"},
		{"no slashes", "https:api.example.com", "form"},
		{"an empty scheme", "://h", "scheme"},
		{"another scheme", "ftp://h", "scheme"},
		{"a space before it", " https://h", "scheme"},
		{"a space after it", "https://h ", "character"},
		{"an empty host", "https://", "empty"},
		{"an empty host and a port", "https://:443", "empty"},
		{"a dot for a host", "https://.", "empty"},
		{"a path", "https://h/v1", "path"},
		{"two slashes", "https://h//", "path"},
		{"a query", "https://h?", "query"},
		{"a fragment", "https://h/#", "fragment"},
		{"a user", "https://u@h", "user"},
		{"a wildcard", "https://*.h", "wildcard"},
		{"a wildcard for a port", "https://h:*", "port"},
		{"a wildcard for everything", "*", "form"},
		{"letters beyond ASCII", "https://b\u00fccher.example", "punycode"},
		{"an empty label", "https://a..b", "label"},
		{"a percent sign", "https://%68", "character"},
		{"a backslash", `https://h\`, "character"},
		{"a tab", "https://h\t", "character"},
		{"an empty port", "https://h:", "port"},
		{"port 0", "https://h:0", "port"},
		{"port 65536", "https://h:65536", "port"},
		{"a port with a leading zero", "https://h:0443", "port"},
		{"a port that is a name", "https://h:https", "port"},
		{"IPv6 without brackets", "https://2001:db8::1", "brackets"},
		{"IPv6 that is none", "https://[1::2::3]", "IPv6"},
		{"IPv6 without an end", "https://[::1", "IPv6"},
		{"IPv4 in brackets", "https://[127.0.0.1]", "IPv6"},
		{"a zone", "https://[fe80::1%25eth0]", "zone"},
		{"IPv4 in hexadecimal", "http://0x7f.1", "IPv4"},
		{"IPv4 as one number", "http://2130706433", "IPv4"},
		{"IPv4 in short", "http://127.1", "IPv4"},
		{"IPv4 with a trailing dot", "http://127.0.0.1.", "IPv4"},
		{"IPv4 out of range", "http://256.0.0.1", "IPv4"},
		{"a host too long for DNS", "https://" + strings.Repeat("a.", 127) + "a", "long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := origin.Parse([]string{"https://h", test.entry}, nil)
			if err == nil || s != nil {
				t.Fatalf("Parse(%q) = %v, %v", test.entry, s, err)
			}
			if got := err.Error(); !strings.Contains(got, test.want) || !strings.Contains(got, "origin 2 of 2") {
				t.Errorf("the error for %q should say %q: %s", test.entry, test.want, got)
			}
		})
	}
	t.Run("the entry is quoted", func(t *testing.T) {
		if _, err := origin.Parse([]string{"ftp://h"}, nil); !strings.Contains(err.Error(), `"ftp://h"`) {
			t.Error(err)
		}
	})
	t.Run("digits and an x at the start make no number", func(t *testing.T) {
		if _, err := origin.Parse([]string{"http://1x", "http://0xyz", "http://127.0.0.1.example", "http://3com"}, nil); err != nil {
			t.Error(err)
		}
	})
}

// B75, T-A9
func TestErrorsHoldNoSecret(t *testing.T) {
	for _, entry := range []string{
		"https://user:canary@h", "https://canary@h/x", "https://u:?canary@h", "https://h?access_token=canary",
		"https://h/?a=canary@b", "https://h#canary", "user:canary@h", "canary@https://h", "https://h/?q=@canary",
	} {
		if _, err := origin.Parse([]string{entry}, nil); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", entry, err)
		}
	}
}

// B5, T-A3
func TestLoopback(t *testing.T) {
	for raw, want := range map[string]bool{
		"http://localhost":                 true,
		"http://localhost:8080/x":          true,
		"https://localhost":                true,
		"http://localhost:":                true,
		"http://127.0.0.1":                 true,
		"http://127.255.255.254:80":        true,
		"http://[::1]:8080":                true,
		"http://[0:0:0:0:0:0:0:1]":         true,
		"http://LOCALHOST":                 false, // the next four go to a proxy
		"http://localhost.":                false,
		"http://LocalHost.:8080":           false,
		"http://api.localhost:1":           false,
		"http://localhost.evil.com":        false,
		"http://127.0.0.1.evil.com":        false,
		"http://evillocalhost":             false,
		"http://localhost@evil.com":        false,
		"http://u@localhost":               false,
		"http://evil.com/localhost":        false,
		"http://evil.com#localhost":        false,
		"http://localhost:80@evil.com":     false,
		"http://.localhost":                false,
		"http://localhost..":               false,
		"http://0.0.0.0":                   false,
		"http://[::]":                      false,
		"http://128.0.0.1":                 false,
		"http://126.255.255.255":           false,
		"http://127.1":                     false,
		"http://0x7f.1":                    false,
		"http://2130706433":                false,
		"http://0177.0.0.1":                false,
		"http://[::ffff:127.0.0.1]":        false,
		"http://[::2]":                     false,
		"http://[::1%25lo]":                false,
		"http://[::127.0.0.1]":             false,
		"http://127.0.0.1.":                false,
		"http://1\u30022.7.0.0.1":          false,
		"http://\u24db\u24dealhost":        false,
		"http://localhost.xn--localhost":   false,
		"ftp://localhost":                  false,
		"http:localhost":                   false,
		"//localhost":                      false,
		"":                                 false,
		"http://":                          false,
		"http://localhost:0":               false,
		"http://localho\u017ft":            false, // a long s
		"http://api.example.com/127.0.0.1": false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := origin.Loopback(u); got != want {
			t.Errorf("Loopback(%q) = %v, want %v", raw, got, want)
		}
	}
	if origin.Loopback(nil) || origin.Loopback(&url.URL{}) || origin.Loopback(&url.URL{Scheme: "http", Host: `localhost\.evil.com`}) {
		t.Error("what was made by hand is loopback")
	}
}

// B5, T-A3: over http, a name that only some resolver takes for this machine's is
// one more host that HTTP_PROXY is for.
func TestWhatIsLoopbackGoesToNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://proxy.example:3128") // net/http reads it once in a process
	for _, name := range []string{"http_proxy", "NO_PROXY", "no_proxy", "REQUEST_METHOD"} {
		t.Setenv(name, "")
	}
	for _, host := range []string{
		"localhost", "localhost:8080", "localhost:", "127.0.0.1", "127.255.255.254:80", "[::1]:8080", "[0:0:0:0:0:0:0:1]",
		"LOCALHOST", "localHost:1", "localhost.", "LocalHost.:80", "api.localhost", "api.localhost.:1", "proxied.example",
	} {
		u := &url.URL{Scheme: "http", Host: host}
		proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
		if err != nil {
			t.Fatal(err)
		}
		if origin.Loopback(u) != (proxy == nil) {
			t.Errorf("Loopback(%q) = %v, and its proxy is %v", u, origin.Loopback(u), proxy)
		}
	}
}

func TestTheCommonCaseAllocatesNothing(t *testing.T) {
	s, err := origin.Parse([]string{"https://api.example.com", "https://h:8443", "http://127.0.0.1:8080", "https://[2001:db8::1]"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]bool{
		"https://api.example.com/v1":     true,
		"https://api.example.com:443/v1": true,
		"https://api.example.com./v1":    true,
		"https://h:8443/":                true,
		"http://127.0.0.1:8080/":         true,
		"https://[2001:db8:0::1]/":       true,
		"https://elsewhere.example/":     false,
		"ftp://h/":                       false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if s.Contains(u) != want {
			t.Errorf("Contains(%q) is not %v", raw, want)
		}
		if n := testing.AllocsPerRun(100, func() { s.Contains(u); origin.Loopback(u) }); n != 0 {
			t.Errorf("%v allocations for %q", n, raw)
		}
	}
}

func BenchmarkContains(b *testing.B) {
	s, err := origin.Parse([]string{"https://api.example.com", "https://h:8443"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	u := &url.URL{Scheme: "https", Host: "api.example.com", Path: "/v1"}
	b.ReportAllocs()
	for b.Loop() {
		s.Contains(u)
	}
}

// same normalises by other means than the package: only with what net/url
// says of a URL that it parsed itself.
func same(t *testing.T, raw string) (scheme, host, port string) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatalf("accepted %q, which net/url does not: %v", raw, err)
	}
	if u.User != nil || u.Opaque != "" || u.Host == "" {
		t.Fatalf("accepted %q", raw)
	}
	host, port = u.Hostname(), u.Port()
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.StringExpanded()
	} else {
		host = strings.ToLower(strings.TrimSuffix(host, "."))
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme, host, port
}

// B3, T-A1
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"https://api.example.com", "HTTP://H.:80/", "https://[::1]:8443", "https://[::ffff:127.0.0.1]", "http://127.0.0.1", "http://0x7f.1",
		"https://u:p@h", "https://*.h", "https://h/?#", "https://\u212a", "https://h:0443", "https://[fe80::1%25a]", "https://h:",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		s, err := origin.Parse([]string{entry}, nil)
		if err != nil {
			if s != nil {
				t.Error("both a set and an error")
			}
			return
		}
		// What is accepted is a URL, and of itself in every spelling.
		scheme, host, port := same(t, entry)
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		for _, raw := range []string{entry, scheme + "://" + host + ":" + port + "/x?y", strings.ToUpper(scheme + "://" + host + ":" + port)} {
			u, err := url.Parse(raw)
			if err != nil || !s.Contains(u) {
				t.Errorf("%q does not contain %q, %v", entry, raw, err)
			}
			if again, err := origin.Parse([]string{u.Scheme + "://" + u.Host}, nil); err != nil || !again.Contains(u) {
				t.Errorf("%q is not accepted again: %v", u, err)
			}
		}
	})
}

// B3, B5, T-A1, T-A3
func FuzzContains(f *testing.F) {
	for _, s := range []struct{ entry, scheme, host string }{
		{"https://api.example.com", "https", "API.example.com.:443"},
		{"http://127.0.0.1", "http", "0x7f.1"},
		{"http://127.0.0.1:80/", "http", "127.0.0.1"},
		{"https://[2001:db8::1]", "https", "[2001:DB8:0::1]:443"},
		{"https://[::ffff:1.2.3.4]", "https", "1.2.3.4"},
		{"http://localhost:8080", "http", "u@localhost:8080"},
		{"https://k", "https", "\u212a"},
		{"https://h", "https", `h\`},
	} {
		f.Add(s.entry, s.scheme, s.host)
	}
	f.Fuzz(func(t *testing.T, entry, scheme, host string) {
		urls := []*url.URL{{Scheme: scheme, Host: host}}
		if u, err := url.Parse(scheme + "://" + host); err == nil {
			urls = append(urls, u)
		}
		s, err := origin.Parse([]string{entry}, nil)
		for _, u := range urls {
			if origin.Loopback(u) {
				_, host, _ := same(t, u.String())
				ip, _ := netip.ParseAddr(host)
				if u.Hostname() != "localhost" && !ip.IsLoopback() {
					t.Errorf("%q is loopback", u)
				}
			}
			if !s.Contains(u) {
				continue
			}
			if err != nil {
				t.Fatal("a set that was not accepted contains something")
			}
			s1, h1, p1 := same(t, entry)
			s2, h2, p2 := same(t, u.String())
			if s1 != s2 || h1 != h2 || p1 != p2 {
				t.Errorf("%q contains %q", entry, u)
			}
		}
	})
}
