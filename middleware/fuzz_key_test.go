package middleware_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport/dpop"
)

// FuzzSealedKey: of whatever stands in the cookie of the key, only what we have
// sealed ourselves for that cookie opens (T-F14).
func FuzzSealedKey(f *testing.F) {
	keys := middleware.Cookies{InsecureNoTLS: true, Secrets: [][]byte{sealer(1), sealer(2)}}
	a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: keys}
	key, err := new(dpop.Prover).NewKey()
	if err != nil {
		f.Fatal(err)
	}
	sealed := func(a *middleware.Authenticator) string {
		rec := httptest.NewRecorder()
		token := tokencache.NewToken(tokencache.TokenFields{Access: "A", Refresh: "R", Key: key})
		if err := a.SignIn(rec, httptest.NewRequest("POST", "/login", nil), token); err != nil {
			f.Fatal(err)
		}
		for _, c := range rec.Result().Cookies() {
			if strings.HasSuffix(c.Name, "key") {
				return c.Value
			}
		}
		f.Fatal("there is no cookie of a key")
		return ""
	}
	ours := sealed(a)
	old := sealed(&middleware.Authenticator{Coordinator: a.Coordinator, Cookies: middleware.Cookies{InsecureNoTLS: true, Secrets: keys.Secrets[1:]}})
	values := []string{
		ours, old, "",
		sealed(&middleware.Authenticator{Coordinator: a.Coordinator, Cookies: middleware.Cookies{InsecureNoTLS: true, Secrets: [][]byte{sealer(3)}}}),
		sealed(&middleware.Authenticator{Coordinator: a.Coordinator, Cookies: middleware.Cookies{Secrets: keys.Secrets}}), // for another name
	}
	for i := range values { // they differ from process to process: a corpus cannot have them
		f.Add(i, "", "", 0, byte(0))
	}
	f.Add(0, "~", "", 3, byte(0))
	f.Add(0, "", "A", 0, byte(1))
	f.Add(1, "\"", "\"", 0, byte(0))
	f.Add(1, "", "=", 80, byte(64))
	f.Add(2, "AAAA", "", 0, byte(0))
	opens := func(value string) bool {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Cookie"] = []string{"access=A; refresh=R; key=" + value}
		return shownBy(a, r).Key() != nil
	}
	f.Fuzz(func(t *testing.T, which int, before, behind string, at int, flip byte) {
		b := []byte(values[max(0, which)%len(values)])
		if at >= 0 && at < len(b) {
			b[at] ^= flip
		}
		value := before + string(b) + behind
		if strings.Contains(value, ";") {
			t.Skip("there it ends")
		}
		plain := strings.TrimRight(value, " \t\r\n")
		if n := len(plain); n > 1 && plain[0] == '"' && plain[n-1] == '"' {
			plain = plain[1 : n-1] // as net/http reads it
		}
		if v, ok := middleware.Decode(plain); ok {
			plain = v
		}
		if want := plain == ours || plain == old; opens(value) != want {
			t.Errorf("%q opens: %t", value, !want)
		}
	})
}
