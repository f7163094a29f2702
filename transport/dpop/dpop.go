// Package dpop makes DPoP proofs (RFC 9449): signed JWTs which show that the
// sender of a request holds the key that its tokens are bound to, so that a
// stolen token is of no use by itself. It is apart from package transport so
// that a program which does without compiles no JWT library.
//
// A key is made at sign-in and stays with the session. Its [Thumbprint] goes
// into the authorization request, the [Prover.Client] redeems the code, and the
// key becomes part of the tokencache.Token that is signed in with. A Transport
// and a TokenEndpoint that have the Prover do the rest.
package dpop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rebearer/rebearer/internal/jws"
)

// Prover makes proofs, and remembers what the servers want in them. It is a
// transport.Prover. The zero value works. A program has one, for all sessions
// and servers. It is safe for concurrent use, and must not be copied or changed
// after first use. It holds no key, and printing it shows no nonce.
type Prover struct {
	// Alg is the algorithm of the keys that NewKey makes: ES256 or EdDSA. It
	// must be one that the servers take (dpop_signing_alg_values_supported,
	// RFC 9449 section 5.1). If empty, ES256, which all of them do.
	Alg string

	once  sync.Once
	known *memory
}

// NewKey makes a private key, for one session: an *ecdsa.PrivateKey on P-256, or
// an [ed25519.PrivateKey].
func (p *Prover) NewKey() (crypto.Signer, error) {
	switch p.Alg {
	case "", jws.ES256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil { // not as it is: a nil pointer in an interface is not nil
			return nil, err
		}
		return key, nil
	case jws.EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return key, nil
	}
	return nil, fmt.Errorf("dpop: no keys are made for the algorithm %q", p.Alg)
}

// Thumbprint returns the SHA-256 thumbprint (RFC 7638) of the public key. It is
// the dpop_jkt of an authorization request, which binds the code to the key
// (RFC 9449 section 10). The key is one that [Prover.Prove] takes.
func Thumbprint(key crypto.Signer) (string, error) {
	_, jwk, err := public(key)
	if err != nil {
		return "", err
	}
	return hash(string(jwk)), nil
}

// Prove sets the DPoP header of a request to a new proof (RFC 9449 section 4.2),
// in the place of any that there is. Its htu has the Host of the request where
// that differs from the URL's, since this is what the server sees. access is
// the access token that the request carries, or empty.
//
// The key is an *ecdsa.PrivateKey on P-256, or an [ed25519.PrivateKey]. Other
// keys are an error, also one that signs elsewhere, such as in a key service:
// it would be asked for each request.
func (p *Prover) Prove(req *http.Request, key crypto.Signer, access string) error {
	alg, jwk, err := public(key)
	if err != nil {
		return err
	}
	origin, path, err := target(req.URL, req.Host)
	if err != nil {
		return err
	}
	nonce, offset := p.memory().recall(origin, sha256.Sum256(jwk))
	method := req.Method
	if method == "" {
		method = http.MethodGet // as net/http sends it
	}
	claims := map[string]any{
		"jti": rand.Text(), // 130 bits
		"htm": method, "htu": origin + path,
		"iat": time.Now().Add(offset).Unix(),
	}
	if access != "" {
		claims["ath"] = hash(access)
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	proof, err := jws.Sign(alg, key, map[string]any{"typ": "dpop+jwt", "jwk": jwk}, claims)
	if err != nil {
		return fmt.Errorf("dpop: %w", err)
	}
	set(req, proof)
	return nil
}

// set makes the proof the one of the request: two are refused (RFC 9449 section
// 4.3), in whatever spelling.
func set(req *http.Request, proof string) {
	if req.Header == nil {
		req.Header = http.Header{}
	}
	for name := range req.Header {
		if strings.EqualFold(name, "DPoP") {
			delete(req.Header, name)
		}
	}
	req.Header.Set("DPoP", proof)
}

// Learn takes the nonce of an answer of whatever status (RFC 9449 section 8.2)
// for later proofs of the key at the origin of the URL. A first proof of another
// key gets the newest nonce of the origin, since few servers give each key its
// own. What cannot be a nonce is ignored, and so are two.
//
// The code is the error of the answer, or empty. With use_dpop_nonce, Learn
// reports whether there is a nonce. It does not ask whether the nonce is news:
// of many requests that were sent with the old one, all are told the same new
// one, and each has to be sent again. A server that refuses its own nonce for
// ever is the caller's to give up, after the second time.
//
// With invalid_dpop_proof, Learn compares the Date of the answer with the clock
// that the proofs for this origin go by. If they are more than 5 seconds
// apart, that clock is set, and the result is true; so it is for those who were
// refused at the same time, and come in the next 30 seconds. A Date that is
// more than a day from our own clock is not believed: no wrong time zone
// explains it. No other answer sets a clock.
func (p *Prover) Learn(from *url.URL, header http.Header, key crypto.Signer, code string) (again bool) {
	return p.learn(from, "", header, key, code)
}

func (p *Prover) learn(from *url.URL, host string, header http.Header, key crypto.Signer, code string) (again bool) {
	nonce := nonceIn(header)
	if nonce == "" && code != invalidProof {
		return false
	}
	origin, _, err := target(from, host)
	if err != nil {
		return false
	}
	_, jwk, err := public(key)
	if err != nil {
		return false
	}
	m := p.memory()
	if nonce != "" {
		m.keepNonce(origin, sha256.Sum256(jwk), nonce)
	}
	switch code {
	case useNonce:
		return true // there is a nonce
	case invalidProof:
		return m.adjust(origin, header)
	}
	return false
}

func (p *Prover) memory() *memory {
	p.once.Do(func() { p.known = newMemory() })
	return p.known
}

// public returns the algorithm of a key, and its public part as a JWK. The
// private part never gets near the JWK.
func public(key crypto.Signer) (alg string, jwk json.RawMessage, err error) {
	switch k := key.(type) {
	case nil:
		return "", nil, errors.New("dpop: there is no key")
	case *ecdsa.PrivateKey:
		if k != nil && k.Curve == elliptic.P256() {
			jwk, err = jws.JWK(&k.PublicKey)
			return jws.ES256, jwk, err
		}
	case ed25519.PrivateKey:
		if len(k) == ed25519.PrivateKeySize {
			jwk, err = jws.JWK(k.Public())
			return jws.EdDSA, jwk, err
		}
	}
	return "", nil, fmt.Errorf("dpop: a %T that is neither an *ecdsa.PrivateKey on P-256 nor an ed25519.PrivateKey", key)
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Format prints no nonce, whatever the verb.
func (p *Prover) Format(f fmt.State, _ rune) { io.WriteString(f, "Prover(…)") }

// LogValue logs no nonce.
func (p *Prover) LogValue() slog.Value { return slog.StringValue("Prover(…)") }

// MarshalJSON returns an error: a Prover is no data.
func (p *Prover) MarshalJSON() ([]byte, error) {
	return nil, errors.New("dpop: a Prover has no encoding")
}
