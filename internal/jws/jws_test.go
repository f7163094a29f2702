package jws_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/jws"
)

type pair struct{ private, public any }

// newKeys returns a key for every algorithm.
func newKeys(t *testing.T) map[string]pair {
	t.Helper()
	r, err1 := rsa.GenerateKey(rand.Reader, 2048)
	e, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	pub, ed, err3 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	secret := []byte(rand.Text())
	return map[string]pair{
		jws.HS256: {secret, secret},
		jws.RS256: {r, &r.PublicKey},
		jws.PS256: {r, &r.PublicKey},
		jws.ES256: {e, &e.PublicKey},
		jws.EdDSA: {ed, pub},
	}
}

func is(key any) func(string, string) (any, error) {
	return func(string, string) (any, error) { return key, nil }
}

func soon() map[string]any {
	return map[string]any{"sub": "alice", "exp": time.Now().Add(time.Minute).Unix()}
}

func sign(t *testing.T, alg string, key any, header, claims map[string]any) string {
	t.Helper()
	token, err := jws.Sign(alg, key, header, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestSignedByOneKeyVerifiesByNoOther(t *testing.T) {
	keys, others := newKeys(t), newKeys(t)
	for alg, key := range keys {
		t.Run(alg, func(t *testing.T) {
			token := sign(t, alg, key.private, map[string]any{"kid": "k1"}, soon())
			claims, err := jws.Verify(token, []string{alg}, func(kid, got string) (any, error) {
				if kid != "k1" || got != alg {
					t.Errorf("asked for key %q of %q", kid, got)
				}
				return key.public, nil
			})
			if err != nil || claims["sub"] != "alice" {
				t.Errorf("%v, %v", claims, err)
			}
			if _, err := jws.Verify(token, []string{alg}, is(others[alg].public)); !errors.Is(err, jws.ErrSignature) {
				t.Errorf("with another key: %v", err)
			}
			for other, foreign := range keys {
				if other == alg {
					continue
				}
				if _, err := jws.Verify(token, []string{other}, is(foreign.public)); !errors.Is(err, jws.ErrSignature) {
					t.Errorf("where only %s is allowed: %v", other, err)
				}
				if alg[1:] == "S256" && other[1:] == "S256" && alg[0]+other[0] == 'R'+'P' {
					continue // they share the key
				}
				if _, err := jws.Verify(token, []string{alg, other}, is(foreign.public)); !errors.Is(err, jws.ErrSignature) {
					t.Errorf("with a key for %s: %v", other, err)
				}
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	keys := newKeys(t)
	secret := keys[jws.HS256].private
	hs := func(header, claims map[string]any) string { return sign(t, jws.HS256, secret, header, claims) }
	with := func(name string, value any) map[string]any {
		claims := soon()
		claims[name] = value
		return claims
	}
	part := base64.RawURLEncoding.EncodeToString
	good := hs(nil, soon())
	payload := strings.Split(good, ".")[1]
	none := part([]byte(`{"alg":"none"}`)) + "." + payload + "."
	all := slices.Collect(maps.Keys(keys))
	for _, c := range []struct {
		name, token string
		algs        []string
		key         any
		want        error
	}{
		{"an expired token", hs(nil, with("exp", time.Now().Unix()-1)), all, secret, jws.ErrExpired},
		{"a token without an end", hs(nil, map[string]any{"sub": "alice"}), all, secret, jws.ErrInvalid},
		{"an end that is no number", hs(nil, with("exp", "soon")), all, secret, jws.ErrInvalid},
		{"a token of the future", hs(nil, with("nbf", time.Now().Unix()+60)), all, secret, jws.ErrNotYetValid},
		{"something critical", hs(map[string]any{"crit": []string{"exp"}}, soon()), all, secret, jws.ErrInvalid},
		{"alg none", none, all, secret, jws.ErrSignature},
		{"alg none where somebody allowed it", none, []string{"none"}, secret, jws.ErrSignature},
		{"an unknown alg", part([]byte(`{"alg":"XX256"}`)) + "." + payload + ".", all, secret, jws.ErrInvalid},
		{"no key", good, all, nil, jws.ErrSignature},
		{"the signature of another token", swap(good, hs(nil, with("sub", "bob"))), all, secret, jws.ErrSignature},
		{"an expired token with the signature of another", swap(hs(nil, with("exp", 1)), good), all, secret, jws.ErrSignature},
		{"padding", good + "=", all, secret, jws.ErrInvalid},
		{"two parts", "a.b", all, secret, jws.ErrInvalid},
		{"nothing", "", all, secret, jws.ErrInvalid},
		{"too much", good + strings.Repeat("A", 64<<10), all, secret, jws.ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			claims, err := jws.Verify(c.token, c.algs, is(c.key))
			if claims != nil {
				t.Errorf("claims come with an error: %v", claims)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("error: %v, want %v", err, c.want)
			}
		})
	}
}

// swap returns a token with the signature of another.
func swap(token, other string) string {
	return token[:strings.LastIndex(token, ".")] + other[strings.LastIndex(other, "."):]
}

// Without a list the library would allow everything.
func TestNoAlgorithmIsAllowedByDefault(t *testing.T) {
	secret := []byte("secret")
	token := sign(t, jws.HS256, secret, nil, soon())
	if _, err := jws.Verify(token, nil, is(secret)); err == nil {
		t.Error("verified")
	}
}

// Everybody can sign with a secret that somebody forgot to set.
func TestEmptySecretVerifiesNothing(t *testing.T) {
	signed := strings.Join(strings.Split(sign(t, jws.HS256, []byte("secret"), nil, soon()), ".")[:2], ".")
	mac := hmac.New(sha256.New, nil)
	mac.Write([]byte(signed))
	token := signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	if _, err := jws.Verify(token, []string{jws.HS256}, is([]byte{})); !errors.Is(err, jws.ErrSignature) {
		t.Error(err)
	}
}

// The classic: the public key of RS256, which everybody has, as a secret.
func TestPublicKeyIsNoSecret(t *testing.T) {
	key := newKeys(t)[jws.RS256]
	modulus := key.public.(*rsa.PublicKey).N.Bytes()
	token := sign(t, jws.HS256, modulus, nil, soon())
	if _, err := jws.Verify(token, []string{jws.RS256, jws.HS256}, is(key.public)); !errors.Is(err, jws.ErrSignature) {
		t.Error(err)
	}
}

func TestErrorOfTheKeyIsPassedOn(t *testing.T) {
	down := errors.New("down")
	token := sign(t, jws.HS256, []byte("secret"), nil, soon())
	_, err := jws.Verify(token, []string{jws.HS256}, func(string, string) (any, error) { return nil, down })
	if !errors.Is(err, down) || errors.Is(err, jws.ErrSignature) || errors.Is(err, jws.ErrInvalid) {
		t.Error(err)
	}
}

func TestErrorsQuoteNothing(t *testing.T) {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"loudmouth"}`))
	for _, token := range []string{header + ".e30.", "lo!ud.mo!uth.x"} {
		_, err := jws.Verify(token, []string{jws.HS256}, is([]byte("secret")))
		if err == nil || strings.Contains(err.Error(), "loud") {
			t.Error(err)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, alg string
		key       any
	}{
		{"alg none", "none", nil},
		{"an algorithm that is not spoken here", "HS512", []byte("secret")},
		{"an empty secret", jws.HS256, []byte{}},
		{"a string", jws.HS256, "secret"},
		{"another curve", jws.ES256, p384},
		{"another kind of key", jws.RS256, p384},
		{"no key", jws.EdDSA, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if token, err := jws.Sign(c.alg, c.key, nil, soon()); err == nil || token != "" {
				t.Errorf("%q, %v", token, err)
			}
		})
	}
}

func TestHeaderCannotLieAboutTheAlgorithm(t *testing.T) {
	secret := []byte("secret")
	token := sign(t, jws.HS256, secret, map[string]any{"alg": "none", "typ": "at+jwt"}, soon())
	if _, err := jws.Verify(token, []string{jws.HS256}, is(secret)); err != nil {
		t.Error(err)
	}
}

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors of RFC 7515 appendix A.3 and RFC 8037 appendix A.2, and an EC
// point whose coordinates begin with a zero byte.
func TestJWKS(t *testing.T) {
	const (
		ecX = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
		ecY = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
		edX = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
	)
	ec, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, decode(t, ecX)...), decode(t, ecY)...))
	if err != nil {
		t.Fatal(err)
	}
	n := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 2047), big.NewInt(1))
	set, err := jws.JWKS(
		jws.Key{ID: "ec", Alg: jws.ES256, Public: ec},
		jws.Key{Public: ed25519.PublicKey(decode(t, edX))},
		jws.Key{ID: "rsa", Alg: jws.RS256, Public: &rsa.PublicKey{N: n, E: 65537}},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"keys":[` +
		`{"kty":"EC","kid":"ec","use":"sig","alg":"ES256","crv":"P-256","x":"` + ecX + `","y":"` + ecY + `"},` +
		`{"kty":"OKP","use":"sig","crv":"Ed25519","x":"` + edX + `"},` +
		`{"kty":"RSA","kid":"rsa","use":"sig","alg":"RS256","n":"` + base64.RawURLEncoding.EncodeToString(n.Bytes()) + `","e":"AQAB"}]}`
	if string(set) != want {
		t.Errorf("got  %s\nwant %s", set, want)
	}
}

// The vectors of RFC 7638 section 3.1, RFC 9449 section 6.1 and RFC 8037
// appendix A.3: a JWK hashes to its thumbprint.
func TestJWKIsWhatAThumbprintIsMadeOf(t *testing.T) {
	ec, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4},
		decode(t, "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs"), decode(t, "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA")))
	if err != nil {
		t.Fatal(err)
	}
	n := "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs" +
		"tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI" +
		"SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	for _, c := range []struct {
		name string
		key  crypto.PublicKey
		want string
	}{
		{"RSA", &rsa.PublicKey{N: new(big.Int).SetBytes(decode(t, n)), E: 65537}, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"P-256", ec, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
		{"Ed25519", ed25519.PublicKey(decode(t, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	} {
		t.Run(c.name, func(t *testing.T) {
			one, err := jws.JWK(c.key)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(one)
			if got := base64.RawURLEncoding.EncodeToString(sum[:]); got != c.want {
				t.Errorf("%s hashes to %s", one, got)
			}
		})
	}
}

// RFC 7518 section 6.2.1.2: coordinates keep their leading zeros.
func TestCoordinatesKeepTheirLength(t *testing.T) {
	for found := 0; found < 2; {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if point[1] != 0 && point[33] != 0 {
			continue
		}
		found++
		raw, err := jws.JWKS(jws.Key{Public: &key.PublicKey})
		if err != nil {
			t.Fatal(err)
		}
		var set struct{ Keys []struct{ X, Y string } }
		if err := json.Unmarshal(raw, &set); err != nil {
			t.Fatal(err)
		}
		if x, y := decode(t, set.Keys[0].X), decode(t, set.Keys[0].Y); len(x) != 32 || len(y) != 32 {
			t.Errorf("%d and %d bytes", len(x), len(y))
		}
	}
}

func TestJWKSRefuses(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.PublicKey{
		"a secret":      []byte("secret"),
		"a private key": p384,
		"another curve": &p384.PublicKey,
		"nothing":       nil,
	} {
		if set, err := jws.JWKS(jws.Key{Public: key}); err == nil {
			t.Errorf("%s: %s", name, set)
		}
		if one, err := jws.JWK(key); err == nil || one != nil {
			t.Errorf("%s: %s", name, one)
		}
	}
	if set, err := jws.JWKS(); err != nil || string(set) != `{"keys":[]}` {
		t.Errorf("%s, %v", set, err)
	}
}
