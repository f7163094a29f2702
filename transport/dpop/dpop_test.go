package dpop_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/transport"
	"github.com/rebearer/rebearer/transport/dpop"
)

var _ transport.Prover = (*dpop.Prover)(nil)

// The access token of RFC 9449 section 7.1, and its hash there.
const (
	access = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	ath    = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
)

// T-K2
func TestAProofSaysWhatItMust(t *testing.T) {
	for _, alg := range []string{"", "ES256", "EdDSA"} {
		t.Run("alg "+alg, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &dpop.Prover{Alg: alg}
				key, err := p.NewKey()
				if err != nil {
					t.Fatal(err)
				}
				got := prove(t, p, key, request(t, "POST", "https://as.example/token"), "")
				if want := []string{"htm", "htu", "iat", "jti"}; !slices.Equal(got.claims, want) {
					t.Errorf("claims %v, want %v", got.claims, want)
				}
				if got.htm != "POST" || got.htu != "https://as.example/token" || got.iat != time.Now().Unix() {
					t.Errorf("%+v", got)
				}
				if len(got.jti) < 22 { // 128 bits of base64
					t.Errorf("jti %q", got.jti)
				}
				got = prove(t, p, key, request(t, "GET", "https://api.example/me"), access)
				if want := []string{"ath", "htm", "htu", "iat", "jti"}; !slices.Equal(got.claims, want) {
					t.Errorf("claims %v, want %v", got.claims, want)
				}
				if got.ath != ath {
					t.Errorf("ath %q", got.ath)
				}
			})
		})
	}
}

// T-K2
func TestAProofIsForTheTargetAsTheServerSeesIt(t *testing.T) {
	p, key := &dpop.Prover{}, newKey(t, "EdDSA")
	for _, c := range []struct {
		name, method, url, host string
		htm, htu                string
	}{
		{"a path", "GET", "https://api.example/a/b", "", "GET", "https://api.example/a/b"},
		{"no path", "GET", "https://api.example", "", "GET", "https://api.example/"},
		{"a slash at the end stays", "GET", "https://api.example/a/", "", "GET", "https://api.example/a/"},
		{"a query is left out", "GET", "https://api.example/a?b=c&d", "", "GET", "https://api.example/a"},
		{"a query without a path", "GET", "https://api.example?b", "", "GET", "https://api.example/"},
		{"an empty query", "GET", "https://api.example/a?", "", "GET", "https://api.example/a"},
		{"a fragment is left out", "GET", "https://api.example/a#b", "", "GET", "https://api.example/a"},
		{"a user is left out", "GET", "https://ann:secret@api.example/a", "", "GET", "https://api.example/a"},
		{"scheme and host become lower case, the path does not", "GET", "HTTPS://API.Example/Abc", "", "GET", "https://api.example/Abc"},
		{"the default port of https", "GET", "https://api.example:443/", "", "GET", "https://api.example/"},
		{"the default port of http", "GET", "http://127.0.0.1:80/", "", "GET", "http://127.0.0.1/"},
		{"the default port of the other scheme", "GET", "https://api.example:80/", "", "GET", "https://api.example:80/"},
		{"another port that ends like it", "GET", "https://api.example:8443/", "", "GET", "https://api.example:8443/"},
		{"an empty port", "GET", "https://api.example:/", "", "GET", "https://api.example/"},
		{"an IPv6 address", "GET", "http://[::1]:8080/a", "", "GET", "http://[::1]:8080/a"},
		{"an IPv6 address with the default port", "GET", "https://[2001:DB8::443]:443/a", "", "GET", "https://[2001:db8::443]/a"},
		{"an escaped slash stays escaped", "GET", "https://api.example/a%2Fb%2fc", "", "GET", "https://api.example/a%2Fb%2fc"},
		{"what need not be escaped stays escaped", "GET", "https://api.example/%7Eann", "", "GET", "https://api.example/%7Eann"},
		{"what must be escaped is", "GET", "https://api.example/a b/ü", "", "GET", "https://api.example/a%20b/%C3%BC"},
		{"characters that JSON escapes", "GET", "https://api.example/a&b", "", "GET", "https://api.example/a&b"},
		{"two slashes", "GET", "https://api.example//a", "", "GET", "https://api.example//a"},
		{"dots stay", "GET", "https://api.example/a/../b", "", "GET", "https://api.example/a/../b"},
		{"another Host", "GET", "http://10.0.0.7:8080/a", "API.example", "GET", "http://api.example/a"},
		{"another Host with a port", "GET", "https://10.0.0.7/a", "api.example:443", "GET", "https://api.example/a"},
		{"no method is GET", "", "https://api.example/a", "", "GET", "https://api.example/a"},
		{"a method of one's own", "purge", "https://api.example/a", "", "purge", "https://api.example/a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := request(t, c.method, c.url)
			req.Method = c.method
			if c.host != "" {
				req.Host = c.host
			}
			got := prove(t, p, key, req, "")
			if got.htm != c.htm || got.htu != c.htu {
				t.Errorf("%s %s, want %s %s", got.htm, got.htu, c.htm, c.htu)
			}
		})
	}
}

func TestWithoutATargetThereIsNoProof(t *testing.T) {
	p, key := &dpop.Prover{}, newKey(t, "EdDSA")
	for name, u := range map[string]*url.URL{
		"no URL":              nil,
		"no scheme":           {Host: "api.example", Path: "/"},
		"another scheme":      {Scheme: "ftp", Host: "api.example", Path: "/"},
		"no host":             {Scheme: "https", Path: "/a"},
		"only a port":         {Scheme: "https", Host: ":443"},
		"a host of letters":   {Scheme: "https", Host: "bücher.example"},
		"a host with a zone":  {Scheme: "http", Host: "[fe80::1%eth0]"},
		"a host with a slash": {Scheme: "https", Host: "api.example/evil"},
		"opaque":              {Scheme: "https", Host: "api.example", Opaque: "//elsewhere.example/"},
		"a relative path":     {Scheme: "https", Host: "api.example", Path: "a"},
	} {
		req := &http.Request{Method: "GET", URL: u}
		if err := p.Prove(req, key, ""); err == nil || req.Header != nil {
			t.Errorf("%s: %v, %v", name, err, req.Header)
		}
		if u != nil && p.Learn(u, nonces("n"), key, "use_dpop_nonce") {
			t.Errorf("%s: worth another proof", name)
		}
	}
	if p.Learn(nil, nonces("n"), key, "use_dpop_nonce") {
		t.Error("nil: worth another proof")
	}
}

// RFC 9449 section 4.3: there is not more than one DPoP header.
func TestAProofReplacesAnyOther(t *testing.T) {
	p, key := &dpop.Prover{}, newKey(t, "EdDSA")
	req := request(t, "GET", "https://api.example/")
	req.Header = http.Header{"DPoP": {"a"}, "dpop": {"b", "c"}, "Dpop": {"d"}, "Dpop-Nonce": {"e"}, "Authorization": {"DPoP f"}}
	first := prove(t, p, key, req, access)
	second := prove(t, p, key, req, access)
	if first.jti == second.jti {
		t.Error("the same proof again")
	}
	if len(req.Header) != 3 || req.Header.Get("Dpop-Nonce") != "e" || req.Header.Get("Authorization") != "DPoP f" {
		t.Errorf("other headers changed: %v", req.Header)
	}
}

// T-K4
func TestNoProofIsMadeTwice(t *testing.T) {
	p, key := &dpop.Prover{}, newKey(t, "")
	const n = 1000
	from, _ := url.Parse("https://api.example/")
	var wg sync.WaitGroup
	var headers [n]http.Header
	for i := range n {
		wg.Go(func() {
			req := &http.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: "api.example", Path: "/me"}}
			if err := p.Prove(req, key, access); err != nil {
				t.Error(err)
			}
			headers[i] = req.Header
			p.Learn(from, nonces(fmt.Sprint("nonce", i)), key, "")
		})
	}
	wg.Wait()
	proofs, jtis := map[string]bool{}, map[string]bool{}
	for _, h := range headers {
		got, err := read(h)
		if err != nil {
			t.Fatal(err)
		}
		proofs[h.Get("DPoP")], jtis[got.jti] = true, true
	}
	if len(proofs) != n || len(jtis) != n {
		t.Errorf("%d proofs with %d jti, want %d", len(proofs), len(jtis), n)
	}
}

// foreign signs with a key that is somewhere else.
type foreign struct{ crypto.Signer }

func TestAKeyThatDoesNotFitIsAnError(t *testing.T) {
	p384, err1 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rs, err2 := rsa.GenerateKey(rand.Reader, 2048)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	p := &dpop.Prover{}
	for name, key := range map[string]crypto.Signer{
		"no key":        nil,
		"a nil pointer": (*ecdsa.PrivateKey)(nil),
		"an empty key":  &ecdsa.PrivateKey{},
		//lint:ignore SA1019 what no constructor would make is what this is about
		"a point that is not on P256": &ecdsa.PrivateKey{PublicKey: ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}, D: big.NewInt(1)},
		"half of an Ed25519 key":      ed25519.PrivateKey(make([]byte, 32)),
		"another curve":               p384,
		"RSA":                         rs,
		"a key that is elsewhere":     foreign{newKey(t, "")},
	} {
		t.Run(name, func(t *testing.T) {
			req := request(t, "GET", "https://api.example/")
			if err := p.Prove(req, key, ""); err == nil || len(req.Header) > 0 {
				t.Errorf("Prove: %v, %v", err, req.Header)
			}
			if jkt, err := dpop.Thumbprint(key); err == nil || jkt != "" {
				t.Errorf("Thumbprint: %q, %v", jkt, err)
			}
			if p.Learn(req.URL, nonces("n"), key, "use_dpop_nonce") {
				t.Error("Learn: worth another proof")
			}
		})
	}
	if key, err := (&dpop.Prover{Alg: "RS256"}).NewKey(); err == nil || key != nil {
		t.Errorf("NewKey of RS256: %v", err)
	}
}

func TestEachKeyIsNew(t *testing.T) {
	for _, alg := range []string{"", "ES256", "EdDSA"} {
		if newKey(t, alg).Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(newKey(t, alg).Public()) {
			t.Errorf("%s: the same key again", alg)
		}
	}
}

// The example of RFC 8037 appendix A, and what a server computes from the jwk of
// a proof (RFC 9449 section 6.1).
func TestThumbprint(t *testing.T) {
	seed, _ := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	if got, err := dpop.Thumbprint(ed25519.NewKeyFromSeed(seed)); err != nil || got != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("%q, %v", got, err)
	}
	p, key := &dpop.Prover{}, newKey(t, "ES256")
	jwk := prove(t, p, key, request(t, "GET", "https://api.example/"), "").jwk
	want := sum(fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, jwk["x"], jwk["y"]))
	if got, err := dpop.Thumbprint(key); err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

// B75, T-I7
func TestNothingPrintsAKeyOrANonce(t *testing.T) {
	key := newKey(t, "EdDSA").(ed25519.PrivateKey)
	p := &dpop.Prover{}
	u, _ := url.Parse("https://api.example/")
	p.Learn(u, nonces("secret-nonce"), key, "")
	client := p.Client(key, nil)
	seed := key.Seed()
	secrets := []string{
		"secret-nonce", hex.EncodeToString([]byte("secret-nonce")), strings.Trim(fmt.Sprint([]byte("secret-nonce")), "[]"),
		string(seed), hex.EncodeToString(seed), strings.ToUpper(hex.EncodeToString(seed)), strings.Trim(fmt.Sprint(seed), "[]"),
		base64.StdEncoding.EncodeToString(seed)[:40],
	}
	copied := reflect.ValueOf(p).Elem().Interface() // vet forbids that, but it is done
	for _, v := range []any{p, []any{p}, struct{ P any }{p}, copied, client, *client, client.Transport, struct{ C any }{client.Transport}} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		encoded, _ := json.Marshal(v)
		out.Write(encoded)
		for _, secret := range secrets {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%T prints a secret: %s", v, &out)
			}
		}
	}
	for name, v := range map[string]any{"Prover(…)": p, "dpop.Client(…)": client.Transport} {
		for _, got := range []string{fmt.Sprint(v), fmt.Sprintf("%#v", v), slog.AnyValue(v).Resolve().String()} {
			if got != name || slog.AnyValue(v).Resolve().Kind() != slog.KindString {
				t.Errorf("%s prints as %s", name, got)
			}
		}
		if b, err := json.Marshal(v); err == nil {
			t.Errorf("%s is encoded: %s", name, b)
		}
	}
}

func BenchmarkProve(b *testing.B) {
	for _, alg := range []string{"ES256", "EdDSA"} {
		b.Run(alg, func(b *testing.B) {
			p, key := &dpop.Prover{}, newKey(b, alg)
			req := request(b, "GET", "https://api.example/users/me")
			p.Learn(req.URL, nonces("nonce"), key, "")
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Prove(req, key, access); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
