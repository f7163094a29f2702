package jwks_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/internal/jwks"
)

// says is an issuer that answers with this.
type says string

func (s *says) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(*s)))}, nil
}

func rsaJWK(kid string, n *big.Int, e string) string {
	return fmt.Sprintf(`{"kty":"RSA","kid":%q,"alg":"RS256","n":%q,"e":%q}`, kid, base64.RawURLEncoding.EncodeToString(n.Bytes()), e)
}

// modulus has that many bits, and is the product of nothing in particular.
func modulus(bits int) *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	return n.SetBit(n.SetBit(n, bits-1, 1), 0, 1)
}

const secretJWK = `{"kty":"oct","kid":"shared","alg":"HS256","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`

// T-E13: a key that is too short, or a secret, is not there, be it beside a good
// one or after it; and a set of nothing else does not replace what is known.
func TestWeakKeysOfAnIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, weak := rsaJWK("good", modulus(2048), "AQAB"), rsaJWK("weak", modulus(2047), "AQAB")
		answer := says(`{"keys":[` + weak + "," + good + "," + rsaJWK("tiny", modulus(512), "AQAB") + "," + secretJWK + `]}`)
		s := &jwks.Set{URL: "https://as.example/jwks", Base: &answer}
		for round, set := range []string{string(answer), `{"keys":[` + weak + `]}`, `{"keys":[` + secretJWK + `]}`} {
			answer = says(set)
			for _, kid := range []string{"weak", "tiny", "shared"} {
				time.Sleep(time.Minute) // or the set would not be fetched anew
				for _, alg := range []string{"RS256", "PS256", "HS256"} {
					if key, err := s.Key(t.Context(), kid, alg); key != nil || !errors.Is(err, jwks.ErrUnknown) {
						t.Errorf("round %d: %s of %s is %T, %v", round, kid, alg, key, err)
					}
				}
			}
			if key, err := s.Key(t.Context(), "good", "RS256"); err != nil || key.(*rsa.PublicKey).N.BitLen() != 2048 {
				t.Errorf("round %d: the good one is %T, %v", round, key, err)
			}
		}
	})
}

// FuzzSet: whatever an issuer publishes, what comes out of it is a public key that
// is made for the algorithm and long enough (T-E9, T-E13).
func FuzzSet(f *testing.F) {
	good := rsaJWK("1", modulus(2048), "AQAB")
	for _, set := range []string{
		`{"keys":[` + good + `]}`, `{"keys":[` + rsaJWK("1", modulus(1024), "AQAB") + `]}`, `{"keys":[` + secretJWK + `]}`, `{"keys":[{}]}`, `{"keys":null}`, `[]`, `<html>`, "",
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"AA"}]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"AAAA","y":"AAAA"}]}`, `{"keys":[` + good + `,` + good + `]}`, `{"keys":[` + rsaJWK("1", modulus(2048), "AA") + `]}`,
		`{"keys":[{"kty":"RSA","kid":"1","use":"enc","n":"AQAB","e":"AQAB"}]}`, `{"keys":[{"kty":"RSA","kid":"1","x5u":"https://evil.test/","n":"AQAB","e":"AQAB"}]}`,
	} {
		f.Add(set, "1", "RS256")
		f.Add(set, "", "EdDSA")
	}
	f.Fuzz(func(t *testing.T, set, kid, alg string) {
		answer := says(set)
		key, err := (&jwks.Set{URL: "https://as.example/jwks", Base: &answer}).Key(t.Context(), kid, alg)
		if err != nil {
			if key != nil || !errors.Is(err, jwks.ErrUnknown) && !errors.Is(err, jwks.ErrUnavailable) {
				t.Errorf("%T, %v", key, err)
			}
			return
		}
		sound := false
		switch k := key.(type) {
		case *rsa.PublicKey:
			sound = k.N.BitLen() >= 2048 && k.E > 1 && (alg == "RS256" || alg == "PS256")
		case *ecdsa.PublicKey:
			_, bad := k.Bytes() // of a point that is not on the curve
			sound = bad == nil && alg == "ES256" && k.Curve == elliptic.P256()
		case ed25519.PublicKey:
			sound = len(k) == ed25519.PublicKeySize && alg == "EdDSA"
		}
		if !sound {
			t.Errorf("%s of %s: %T", kid, alg, key)
		}
	})
}
