package middleware_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// sink is a response that nobody reads.
type sink struct{ header http.Header }

func (w *sink) Header() http.Header         { return w.header }
func (w *sink) WriteHeader(int)             {}
func (w *sink) Write(p []byte) (int, error) { return len(p), nil }

// asked is the request of a browser for a page: with its headers, and a session.
func asked(cookies string) *http.Request {
	r, _ := http.NewRequest("GET", "http://bff.example.com/x.html", nil)
	for name, value := range map[string]string{
		"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Accept":     "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Language": "en-US,en;q=0.5", "Accept-Encoding": "gzip, deflate, br",
		"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-User": "?1",
		"Upgrade-Insecure-Requests": "1", "Priority": "u=0, i", "Cookie": cookies,
	} {
		r.Header.Set(name, value)
	}
	return r
}

// verifying has a token of the usual length that it takes.
func verifying(t testing.TB) (a *middleware.Authenticator, token string) {
	now := time.Now()
	token = raw(t, `{"alg":"HS256","typ":"at+jwt"}`, fmt.Sprintf(`{"iss":"https://as.example.com","aud":"api","sub":"5f0c7a1e","client_id":"bff","scope":"openid profile orders:read","iat":%d,"exp":%d,"jti":"0f8fad5b-d9cb-469f-a165-70867728950e"}`, now.Unix(), now.Add(time.Hour).Unix()))
	return &middleware.Authenticator{
		Coordinator: &tokencache.Coordinator{Refresher: unused{}}, Cookies: middleware.Cookies{InsecureNoTLS: true},
		Verifier: &middleware.Verifier{Algorithms: []string{"HS256"}, Key: secret},
	}, token
}

// The check of an access token that was seen before allocates nothing.
func TestAllocationsOfTheCheck(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	a, token := verifying(t)
	published := newIssuer(t, "1")
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	v := jwksOf(published.URL)
	v.Base = base
	bound := boundAuth(nil, sealer(1))
	bound.Verifier = a.Verifier
	for name, row := range map[string]struct {
		auth       *middleware.Authenticator
		token, key string
	}{
		"a secret":                 {a, token, ""},
		"published keys":           {&middleware.Authenticator{Coordinator: a.Coordinator, Verifier: &v}, published.token(t, "1"), ""},
		"bound to a key":           {bound, token, signInWith(t, bound, newKey(t, "ES256"))["key"]},
		"bound, the key is lost":   {bound, token, "nonsense"},
		"bound, there is no key":   {bound, token, ""},
		"a secret, another cookie": {a, token, "ignored"},
	} {
		check := func() {
			if err := row.auth.Check(row.token, "R", row.key); err != nil {
				t.Fatal(err)
			}
		}
		check() // the first one of published keys is made before there are any
		check()
		if n := testing.AllocsPerRun(1000, check); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// The Handler allocates no more than is written here: the session, its Cache,
// the copy of the request, its context, and four for the map of its header,
// which are two up to eight fields.
func TestAllocationsOfTheHandler(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	a, token := verifying(t)
	h := a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(nil) }))
	pair := "access=" + token + "; refresh=rt_ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for name, row := range map[string]struct {
		cookies string
		want    float64
	}{
		"our cookies alone":             {pair, 8},
		"our cookies behind others":     {"theme=dark; lang=en; " + pair, 9}, // and what the line stands in
		"our cookies before others":     {pair + "; theme=dark; lang=en", 9},
		"our cookies among others":      {"theme=dark; " + pair + "; lang=en", 10}, // and the line without them
		"our cookies here and there":    {"a=b; " + strings.Replace(pair, ";", "; c=d; e=f;", 1) + "; g=h", 10},
		"others that are written badly": {"a=b;c=d;" + pair, 10},
	} {
		r, w := asked(row.cookies), &sink{http.Header{}}
		h.ServeHTTP(w, r)
		if n := testing.AllocsPerRun(1000, func() { h.ServeHTTP(w, r) }); n > row.want {
			t.Errorf("%s: %v allocations, want %v", name, n, row.want)
		}
	}
	r, _ := http.NewRequest("GET", "http://bff.example.com/x.html", nil)
	r.Header = http.Header{"Accept": {"*/*"}, "Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Mode": {"cors"}, "Cookie": {pair}}
	w := &sink{http.Header{}}
	if n := testing.AllocsPerRun(1000, func() { h.ServeHTTP(w, r) }); n > 6 {
		t.Errorf("with few header fields: %v allocations, want 6", n)
	}
}
