package authtest_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"testing"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/jws"
)

func TestAccessTokensVerifyAgainstJWKS(t *testing.T) {
	for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			as := newAS(t, authtest.ASConfig{Alg: alg})
			other := newAS(t, authtest.ASConfig{Alg: alg})
			verify := func(token string) (map[string]any, error) {
				return jws.Verify(token, []string{alg}, func(kid, alg string) (any, error) { return fetchKey(t, as, kid, alg) })
			}
			token := as.SignIn("alice")
			claims, err := verify(token.Access())
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "sub", claims["sub"], any("alice"))
			equal(t, "iss", claims["iss"], any(as.URL))
			equal(t, "aud", claims["aud"], any("api"))
			equal(t, "exp", claims["exp"], any(float64(token.Expiry().Unix())))
			equal(t, "iat", claims["iat"], any(float64(token.Issued().Unix())))
			if _, err := verify(other.SignIn("alice").Access()); !errors.Is(err, jws.ErrSignature) {
				t.Errorf("token of another server: %v", err)
			}
		})
	}
}

func TestHS256PublishesNothing(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	a, err := do(as.Transport(), newRequest(t.Context(), "GET", as.JWKSURL(), ""))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "set", string(a.body), `{"keys":[]}`)
	key := func(string, string) (any, error) { return as.Key(), nil }
	if _, err := jws.Verify(as.SignIn("alice").Access(), []string{"HS256"}, key); err != nil {
		t.Error(err)
	}
}

func TestAccessTokensSayWhatTheyAre(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	seen := map[any]bool{}
	for range 3 {
		token := as.SignIn("alice").Access()
		key := func(string, string) (any, error) { return as.Key(), nil }
		claims, err := jws.Verify(token, []string{"HS256"}, key)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "jti seen before", seen[claims["jti"]], false)
		seen[claims["jti"]] = true
		header, err := base64.RawURLEncoding.DecodeString(token[:indexByte(token, '.')])
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "header", string(header), `{"alg":"HS256","kid":"1","typ":"at+jwt"}`)
	}
}

func indexByte(s string, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return -1
}

// fetchKey reads a key from the JWKS.
func fetchKey(t *testing.T, as *authtest.AS, kid, alg string) (any, error) {
	a, err := do(as.Transport(), newRequest(t.Context(), "GET", as.JWKSURL(), ""))
	if err != nil {
		return nil, err
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(a.body, &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("JWKS: %s, %v", a.body, err)
	}
	k := set.Keys[0]
	if k["kid"] != kid || k["alg"] != alg || k["use"] != "sig" {
		t.Fatalf("key for %s %s: %v", kid, alg, k)
	}
	member := func(name string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(k[name])
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	switch k["kty"] + k["crv"] {
	case "RSA":
		e := new(big.Int).SetBytes(member("e"))
		return &rsa.PublicKey{N: new(big.Int).SetBytes(member("n")), E: int(e.Int64())}, nil
	case "ECP-256":
		point := append(append([]byte{4}, member("x")...), member("y")...)
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	case "OKPEd25519":
		return ed25519.PublicKey(member("x")), nil
	}
	return nil, errors.New("unknown kind of key")
}
