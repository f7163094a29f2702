package clientassertion_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/jws"
	"github.com/rebearer/rebearer/transport/clientassertion"
)

func newKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	ec, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, err2 := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, err3 := ed25519.GenerateKey(rand.Reader)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	return map[string]crypto.Signer{"RS256": rs, "PS256": rs, "ES256": ec, "EdDSA": ed}
}

// T-K7: RFC 7523 section 3
func TestAnAssertionSaysWhatItMust(t *testing.T) {
	for alg, key := range newKeys(t) {
		t.Run(alg, func(t *testing.T) {
			s := &clientassertion.Signer{ClientID: "bff", Key: key, Alg: alg, KeyID: "k1"}
			token, err := s.Assertion(t.Context(), "https://as.example/token")
			if err != nil {
				t.Fatal(err)
			}
			claims, err := jws.Verify(token, []string{alg}, func(kid, gotAlg string) (any, error) {
				if kid != "k1" || gotAlg != alg {
					t.Errorf("kid %q, alg %q", kid, gotAlg)
				}
				return key.Public(), nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]any{"iss": "bff", "sub": "bff", "aud": "https://as.example/token"} {
				if claims[name] != want {
					t.Errorf("%s: %v, want %v", name, claims[name], want)
				}
			}
			exp := time.Unix(int64(claims["exp"].(float64)), 0)
			if life := time.Until(exp); life > time.Minute || life < 50*time.Second {
				t.Errorf("ends after %v", life)
			}
			if jti, _ := claims["jti"].(string); len(jti) < 16 {
				t.Errorf("jti %q", jti)
			}
		})
	}
}

// T-K7, T-J4: an assertion serves one call.
func TestNoAssertionIsTheSameAsAnother(t *testing.T) {
	s := &clientassertion.Signer{ClientID: "bff", Key: newKeys(t)["EdDSA"], Alg: "EdDSA"}
	seen := map[any]bool{}
	for range 100 {
		token, err := s.Assertion(t.Context(), "aud")
		if err != nil {
			t.Fatal(err)
		}
		payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		var claims struct{ JTI string }
		json.Unmarshal(payload, &claims)
		if claims.JTI == "" || seen[claims.JTI] {
			t.Fatalf("jti %q again", claims.JTI)
		}
		seen[claims.JTI] = true
	}
}

func TestWithoutAKeyIDTheHeaderNamesNone(t *testing.T) {
	s := &clientassertion.Signer{ClientID: "bff", Key: newKeys(t)["ES256"], Alg: "ES256"}
	token, err := s.Assertion(t.Context(), "aud")
	if err != nil {
		t.Fatal(err)
	}
	header, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if strings.Contains(string(header), "kid") {
		t.Errorf("%s", header)
	}
}

func TestAKeyThatDoesNotFitIsAnError(t *testing.T) {
	keys := newKeys(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]clientassertion.Signer{
		"no key":                  {Alg: "RS256"},
		"no algorithm":            {Key: keys["RS256"]},
		"none":                    {Key: keys["RS256"], Alg: "none"},
		"a shared secret":         {Key: keys["RS256"], Alg: "HS256"},
		"another kind of key":     {Key: keys["EdDSA"], Alg: "RS256"},
		"another curve":           {Key: p384, Alg: "ES256"},
		"an unknown algorithm":    {Key: keys["ES256"], Alg: "ES512"},
		"an algorithm in letters": {Key: keys["ES256"], Alg: "es256"},
	} {
		t.Run(name, func(t *testing.T) {
			if token, err := s.Assertion(t.Context(), "aud"); err == nil || token != "" {
				t.Errorf("%q, %v", token, err)
			}
		})
	}
}

// B75, T-I7
func TestASignerPrintsNoKey(t *testing.T) {
	key := newKeys(t)["EdDSA"].(ed25519.PrivateKey)
	s := clientassertion.Signer{ClientID: "bff", Key: key, Alg: "EdDSA"}
	seed := key.Seed()
	numbers := strings.Trim(fmt.Sprint(seed), "[]")
	for _, v := range []any{s, &s, []any{s}, struct{ S any }{&s}, map[string]any{"s": s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			printed := fmt.Sprintf(verb, v)
			for _, secret := range []string{string(seed), fmt.Sprintf("%x", seed), fmt.Sprintf("%X", seed), numbers} {
				if strings.Contains(printed, secret) {
					t.Errorf("%s prints the key", verb)
				}
			}
		}
		var text, js strings.Builder
		slog.New(slog.NewTextHandler(&text, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&js, nil)).Info("x", "v", v)
		encoded := base64.StdEncoding.EncodeToString(key)
		if strings.Contains(text.String(), numbers) || strings.Contains(js.String(), encoded) {
			t.Errorf("a log holds the key: %s", js.String())
		}
	}
}
