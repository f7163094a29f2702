package middleware_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// reading has all three cookies.
func reading() *middleware.Authenticator {
	return &middleware.Authenticator{Coordinator: &tokencache.Coordinator{},
		Cookies: middleware.Cookies{InsecureNoTLS: true, Secrets: [][]byte{sealer(1)}}}
}

// read is how net/http reads the cookies of a name, and what we make of them.
func read(lines []string, name string) (values []string) {
	r := &http.Request{Header: http.Header{"Cookie": lines}}
	for _, c := range r.CookiesNamed(name) {
		if v, ok := middleware.Decode(c.Value); ok && len(values) < 4 {
			values = append(values, v)
		}
	}
	return values
}

// others is the Cookie header without our cookies, put together from its parts.
func others(lines []string) (rest []string) {
	for _, line := range lines {
		var kept []string
		for part := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(part, "=")
			if !slices.Contains([]string{"access", "refresh", "key", "rebearer"}, strings.TrimSpace(name)) {
				kept = append(kept, strings.TrimSpace(part))
			}
		}
		if len(kept) > 0 {
			rest = append(rest, strings.Join(kept, "; "))
		}
	}
	return rest
}

var cookieHeaders = []string{
	"", " ", ";", ";;", "; ;", "=", "=;=", "a=b", "a=b; c=d", "a=b;c=d", " a=b ;\tc=d ", "a=b; ;c=d", "a=b;  ; c=d", "a=b; c=d;", ";a=b",
	"access=A", "access=A; refresh=R", "refresh=R; access=A", "access=A; refresh=R; key=K; rebearer=x", "access=A;refresh=R", "access=A;;refresh=R",
	"theme=dark; access=A; refresh=R", "access=A; theme=dark; refresh=R", "access=A; refresh=R; theme=dark", "a=b; access=A; c=d", "a=b;access=A;c=d", "a=b; access=A; c=d; refresh=R; e=f",
	"; access=A", "access=A;", ";access=A; ;c=d", "a=b; access=A;", " access=A", "\taccess\t=A", "access =A", "access= A", "access=A ", "access= ", "access", "access=", "access;a", "=access", "access==", "access=A=B",
	`access="A"`, `access="A`, `access=A"`, `access="`, `access=""`, `access="A" `, `access= "A"`, `access="A;B"`, `access="A B"`, `access=A,B`, `access=A B`, `access=A\B`, "access=A\x01", "access=A\x7f", "access=\xff", "access=Ä", "access=A\x00",
	"access=~YQ", "access=~YQ==", "access=~", "access=~YR", "access=~!", `access="~YQ"`, "ACCESS=A", "Access=A", "access2=A", "xaccess=A", "acc ess=A", "$Version=1; access=A; $Path=/",
	"\vaccess=A", "\u00a0access=A; a=b", "\u0085access=A", "access\u00a0=A", "access\v=A", "\u2003a=b\u2003;\u00a0c=d", "access=A\u00a0", "a=b\u00a0; c=d", "a=b;\vc=d", "a\xa0=b; c=d", "\xa0access=A", "a=b; \xc2", "access=A\n", "\r\naccess=A\r\n; a=b\r\n",
	"access=1; access=2; access=3; access=4; access=5", "access=; access=2", "access=\"; access=2; refresh=; refresh=R; refresh=S", "access=A, refresh=R", "a=b; access=A; a=b; access=B; a=b", "key=K; key=L; theme=light",
}

// Our cookies are those that net/http reads, and the handler gets the others,
// byte for byte (B82, T-F7, T-F8).
func TestCookieHeaders(t *testing.T) {
	a := reading()
	for _, h := range cookieHeaders {
		same(t, a, []string{h})
		for _, second := range []string{"", "access=Z; refresh=Z", "a=b"} {
			same(t, a, []string{h, second})
		}
	}
	same(t, a, nil)
	same(t, a, []string{strings.Repeat("a=b; ", 2000) + "access=A"})
	same(t, a, []string{strings.Repeat("access=\"; ", 500) + "access=A; " + strings.Repeat("c;", 400)})
}

func same(t *testing.T, a *middleware.Authenticator, lines []string) {
	t.Helper()
	access, refresh, key, rest := a.Shown(lines)
	for name, got := range map[string][]string{"access": access, "refresh": refresh, "key": key} {
		if want := read(lines, name); !slices.Equal(got, want) {
			t.Errorf("%.200q: %s is %.200q, want %.200q", lines, name, got, want)
		}
	}
	if want := others(lines); !slices.Equal(rest, want) {
		t.Errorf("%.200q: the handler gets %.200q, want %.200q", lines, rest, want)
	}
}

// A cookie of a key is one like any other where there are no keys.
func TestWithoutKeysThereIsNoCookieOfOne(t *testing.T) {
	a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: middleware.Cookies{InsecureNoTLS: true}}
	if _, _, key, rest := a.Shown([]string{"access=A; key=K"}); len(key) > 0 || !slices.Equal(rest, []string{"key=K"}) {
		t.Errorf("%q, the handler gets %q", key, rest)
	}
	a = &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: middleware.Cookies{InsecureNoTLS: true, Access: "key"}}
	if access, _, key, rest := a.Shown([]string{"access=A; key=K"}); len(key) > 0 || !slices.Equal(access, []string{"K"}) || !slices.Equal(rest, []string{"access=A"}) {
		t.Errorf("%q and %q, the handler gets %q", access, key, rest)
	}
}

// Each byte, wherever it stands in a value that is long enough to be looked at in
// pieces.
func TestBytesOfAValue(t *testing.T) {
	a := reading()
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				value := []byte(strings.Repeat("~ ", 10)[:length])
				value[at] = byte(c)
				if same(t, a, []string{"access=" + string(value) + "x"}); t.Failed() {
					return // the others would say the same
				}
			}
		}
	}
}

// FuzzCookieHeader: what we read of the header, and what we leave of it, is what
// net/http would read, and what would be left if it were taken apart.
func FuzzCookieHeader(f *testing.F) {
	for _, h := range cookieHeaders {
		f.Add(h, "a=b")
	}
	a := reading()
	f.Fuzz(func(t *testing.T, one, two string) {
		if strings.Count(one+two, ";") > 2000 {
			t.Skip("net/http reads none of so many")
		}
		same(t, a, []string{one})
		same(t, a, []string{one, two})
	})
}
