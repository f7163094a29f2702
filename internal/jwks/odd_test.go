package jwks_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/rebearer/rebearer/internal/jwks"
)

// B69: a key that cannot be read, or is for something else, is ignored (RFC 7517
// section 5).
func TestOneOddKeyCostsNoOther(t *testing.T) {
	good := rsaJWK("good", modulus(2048), "AQAB")
	for name, other := range map[string]string{
		"unknown kty":     `{"kty":"AKP","alg":"ML-DSA-44","kid":"pq","pub":"AAAA"}`,
		"unknown curve":   `{"kty":"EC","crv":"secp256k1","kid":"k","x":"AAAA","y":"AAAA"}`,
		"bad point":       `{"kty":"EC","crv":"P-256","kid":"k","x":"AAAA","y":"AAAA"}`,
		"missing x":       `{"kty":"OKP","crv":"Ed25519","kid":"k"}`,
		"x25519":          `{"kty":"OKP","crv":"X25519","use":"enc","kid":"k","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}`,
		"unknown alg":     rsaJWK("k", modulus(2048), "AQAB")[:len(rsaJWK("k", modulus(2048), "AQAB"))-1] + `,"use":"sig2"}`,
		"tiny rsa":        rsaJWK("k", modulus(512), "AQAB"),
		"bad x5c":         `{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB","x5c":["AAAA"]}`,
		"bad x5t":         `{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB","x5t":"AAAA"}`,
		"http x5u":        `{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB","x5u":"http://x.test/"}`,
		"RSA-OAEP-256":    `{"kty":"RSA","kid":"k","use":"enc","alg":"RSA-OAEP-256","n":"AQAB","e":"AQAB"}`,
		"alg nonsense":    `{"kty":"RSA","kid":"k","alg":"nonsense","n":"AQAB","e":"AQAB"}`,
		"key_ops unknown": `{"kty":"RSA","kid":"k","key_ops":["nonsense"],"n":"AQAB","e":"AQAB"}`,
		"kid number":      `{"kty":"RSA","kid":7,"n":"AQAB","e":"AQAB"}`,
		"null":            `null`,
	} {
		answer := says(`{"keys":[` + other + "," + good + `]}`)
		key, err := (&jwks.Set{URL: "https://as.example/jwks", Base: &answer}).Key(t.Context(), "good", "RS256")
		if err != nil || key == nil {
			t.Errorf("%s costs the good key: %v", name, err)
		}
	}
}

// ecJWK says nothing of an algorithm.
func ecJWK(t *testing.T, kid string, curve elliptic.Curve) (string, *ecdsa.PublicKey) {
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	half := (len(point) - 1) / 2
	b64 := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"kty":"EC","crv":%q,"kid":%q,"x":%q,"y":%q}`, curve.Params().Name, kid, b64(point[1:1+half]), b64(point[1+half:])), &k.PublicKey
}

// B69: ES256 is of P-256 alone (RFC 7518 section 3.4). A key of another curve that
// stands beside the right one is not it, under the same kid or without one.
func TestAKeyOfAnotherCurveIsNotOneOfES256(t *testing.T) {
	for _, kid := range []string{"", "1"} {
		other, _ := ecJWK(t, kid, elliptic.P384())
		good, want := ecJWK(t, kid, elliptic.P256())
		answer := says(`{"keys":[` + other + "," + good + `]}`)
		key, err := (&jwks.Set{URL: "https://as.example/jwks", Base: &answer}).Key(t.Context(), kid, "ES256")
		if err != nil || !want.Equal(key) {
			t.Errorf("kid %q: %T, %v", kid, key, err)
		}
	}
}
