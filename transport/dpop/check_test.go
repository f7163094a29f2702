package dpop_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/internal/leak"
	"github.com/rebearer/rebearer/transport/dpop"
)

func TestMain(m *testing.M) { leak.Main(m) }

// proof is what a server reads in a DPoP header.
type proof struct {
	jti, htm, htu, ath, nonce string
	iat                       int64
	claims                    []string // the names, sorted
	jwk                       map[string]string
	key                       crypto.PublicKey
}

// read checks a request as RFC 9449 section 4.3 has a server do it, items 1 to 7.
// It shares no code with what makes the proofs.
func read(header http.Header) (p proof, err error) {
	var lines []string
	for name, values := range header {
		if strings.EqualFold(name, "dpop") {
			lines = append(lines, values...)
		}
	}
	if len(lines) != 1 {
		return p, fmt.Errorf("%d DPoP headers", len(lines))
	}
	parts := strings.Split(lines[0], ".")
	if len(parts) != 3 {
		return p, fmt.Errorf("%d parts", len(parts))
	}
	var raw [3][]byte
	for i, part := range parts {
		if raw[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return p, err
		}
	}
	var head struct {
		Typ, Alg string
		JWK      map[string]string
	}
	if err := strict(raw[0], &head); err != nil {
		return p, err
	}
	if head.Typ != "dpop+jwt" {
		return p, fmt.Errorf("typ %q", head.Typ)
	}
	p.jwk = head.JWK
	if p.key, err = verified(head.Alg, head.JWK, parts[0]+"."+parts[1], raw[2]); err != nil {
		return p, err
	}
	var claims map[string]any
	if err := json.Unmarshal(raw[1], &claims); err != nil {
		return p, err
	}
	p.claims = slices.Sorted(maps.Keys(claims))
	var body struct {
		JTI, HTM, HTU, Ath, Nonce string
		IAT                       int64
	}
	err = strict(raw[1], &body)
	p.jti, p.htm, p.htu, p.ath, p.nonce, p.iat = body.JTI, body.HTM, body.HTU, body.Ath, body.Nonce, body.IAT
	return p, err
}

func strict(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// verified returns the public key of a JWK that has no other members than those
// of a public key, if it made the signature.
func verified(alg string, jwk map[string]string, signed string, signature []byte) (crypto.PublicKey, error) {
	names := strings.Join(slices.Sorted(maps.Keys(jwk)), " ")
	x, err1 := base64.RawURLEncoding.DecodeString(jwk["x"])
	y, err2 := base64.RawURLEncoding.DecodeString(jwk["y"])
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	switch {
	case alg == "ES256" && names == "crv kty x y" && jwk["kty"] == "EC" && jwk["crv"] == "P-256" && len(signature) == 64:
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256([]byte(signed))
		if ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			return key, nil
		}
	case alg == "EdDSA" && names == "crv kty x" && jwk["kty"] == "OKP" && jwk["crv"] == "Ed25519" && len(x) == ed25519.PublicKeySize:
		if ed25519.Verify(x, []byte(signed), signature) {
			return ed25519.PublicKey(x), nil
		}
	default:
		return nil, fmt.Errorf("alg %q with the members %q", alg, names)
	}
	return nil, errors.New("the signature does not verify")
}

// prove returns the proof of a request, which must be good and by the key.
func prove(t testing.TB, p *dpop.Prover, key crypto.Signer, req *http.Request, access string) proof {
	t.Helper()
	if err := p.Prove(req, key, access); err != nil {
		t.Fatal(err)
	}
	got, err := read(req.Header)
	if err != nil {
		t.Fatal(err)
	}
	if !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(got.key) {
		t.Fatal("the proof is by another key")
	}
	return got
}

func newKey(t testing.TB, alg string) crypto.Signer {
	t.Helper()
	key, err := (&dpop.Prover{Alg: alg}).NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t testing.TB, method, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}
