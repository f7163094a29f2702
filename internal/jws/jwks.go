package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
)

// Key is a public key for [JWKS].
type Key struct {
	// ID is the kid. If empty, there is none.
	ID string
	// Alg is the one algorithm that the key is for. If empty, it is not said.
	Alg string
	// Public is an *rsa.PublicKey, a P-256 *ecdsa.PublicKey or an
	// ed25519.PublicKey. Shared secrets have no place in a published set.
	Public crypto.PublicKey
}

// jwk has the members of RFC 7517 section 4, RFC 7518 section 6 and RFC 8037
// section 2.
type jwk struct {
	Type  string `json:"kty"`
	ID    string `json:"kid,omitempty"`
	Use   string `json:"use,omitempty"`
	Alg   string `json:"alg,omitempty"`
	Curve string `json:"crv,omitempty"`
	X     string `json:"x,omitempty"`
	Y     string `json:"y,omitempty"`
	N     string `json:"n,omitempty"`
	E     string `json:"e,omitempty"`
}

// JWKS returns the keys as a JWK Set (RFC 7517 section 5).
func JWKS(keys ...Key) ([]byte, error) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for _, k := range keys {
		j := jwk{ID: k.ID, Alg: k.Alg, Use: "sig"}
		if err := j.fill(k.Public); err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, j)
	}
	return json.Marshal(set)
}

// JWK returns a public key as one JWK: the required members alone, in the order
// of their names and without white space, so that its hash is the thumbprint
// (RFC 7638 section 3).
func JWK(key crypto.PublicKey) (json.RawMessage, error) {
	var j jwk
	if err := j.fill(key); err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		Curve string `json:"crv,omitempty"`
		E     string `json:"e,omitempty"`
		Type  string `json:"kty"`
		N     string `json:"n,omitempty"`
		X     string `json:"x,omitempty"`
		Y     string `json:"y,omitempty"`
	}{j.Curve, j.E, j.Type, j.N, j.X, j.Y})
}

func (j *jwk) fill(key crypto.PublicKey) error {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := key.(type) {
	case *rsa.PublicKey:
		j.Type = "RSA"
		j.N, j.E = b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
		return nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return fmt.Errorf("jws: no JWK for the curve %s", k.Curve.Params().Name)
		}
		// 0x04, X, Y: the coordinates in their full length, as RFC 7518
		// section 6.2.1.2 wants them.
		point, err := k.Bytes()
		if err != nil {
			return fmt.Errorf("jws: %w", err)
		}
		j.Type, j.Curve = "EC", "P-256"
		j.X, j.Y = b64(point[1:33]), b64(point[33:])
		return nil
	case ed25519.PublicKey:
		j.Type, j.Curve, j.X = "OKP", "Ed25519", b64(k)
		return nil
	}
	return fmt.Errorf("jws: no JWK for a %T", key)
}
