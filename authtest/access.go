package authtest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/rebearer/rebearer/internal/claims"
	"github.com/rebearer/rebearer/internal/jws"
)

// keyID is the kid of the one key.
const keyID = "1"

// signer has the private key of the access tokens, or the secret.
type signer struct {
	alg string
	key any
}

func newSigner(alg string) signer {
	key, err := newKey(alg)
	if err != nil {
		panic("authtest: " + err.Error())
	}
	return signer{alg, key}
}

func newKey(alg string) (any, error) {
	switch alg {
	case jws.HS256:
		return []byte(rand.Text() + rand.Text()), nil
	case jws.RS256, jws.PS256:
		return rsa.GenerateKey(rand.Reader, 2048)
	case jws.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jws.EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("unknown algorithm %q", alg)
}

func (s signer) public() any {
	switch k := s.key.(type) {
	case *rsa.PrivateKey:
		return &k.PublicKey
	case *ecdsa.PrivateKey:
		return &k.PublicKey
	case ed25519.PrivateKey:
		return k.Public()
	}
	return s.key
}

// accessToken signs the access token of a grant (RFC 9068 section 2). Its jti is
// the serial, by which it can be revoked.
func (as *AS) accessToken(g grant) string {
	header := map[string]any{"typ": "at+jwt", "kid": keyID}
	members := map[string]any{
		"iss": as.URL, "sub": g.subject, "aud": as.config.Audience, "client_id": as.config.ClientID,
		"iat": g.issued.Unix(), "exp": g.expiry.Unix(), "jti": strconv.FormatInt(g.serial, 10),
	}
	token, err := jws.Sign(as.signer.alg, as.signer.key, header, members)
	if err != nil {
		panic("authtest: " + err.Error()) // the key was made for the algorithm
	}
	return token
}

// access is what is known of an access token that this server signed.
type access struct {
	subject string
	serial  int64 // 0 if it has expired
	issued  time.Time
	expiry  time.Time
	alive   bool
}

// checkAccess returns what is known of an access token; ok is whether it was
// ever one.
func (as *AS) checkAccess(token string) (a access, ok bool) {
	key := func(string, string) (any, error) { return as.signer.public(), nil }
	now := func() time.Time {
		as.mu.Lock()
		defer as.mu.Unlock()
		return as.now()
	}
	members, err := jws.Rules{Algorithms: []string{as.signer.alg}, Key: key, Now: now}.Verify(token)
	if errors.Is(err, jws.ErrExpired) { // but well signed
		return access{subject: claims.Parse(token).Subject}, true
	}
	if err != nil { // another iss or aud is impossible: nobody else has the key
		return access{}, false
	}
	jti, _ := members["jti"].(string)
	a.serial, err = strconv.ParseInt(jti, 10, 64)
	if err != nil {
		return access{}, false
	}
	c := claims.Parse(token)
	a.subject, a.issued, a.expiry = c.Subject, c.IssuedAt, c.Expiry

	as.mu.Lock()
	defer as.mu.Unlock()
	a.alive = as.now().Before(a.expiry) && a.serial > as.revokedTo && !as.revoked[a.serial]
	return a, true
}

func (as *AS) serveJWKS(w http.ResponseWriter, _ *http.Request) {
	var keys []jws.Key
	if as.signer.alg != jws.HS256 {
		keys = append(keys, jws.Key{ID: keyID, Alg: as.signer.alg, Public: as.signer.public()})
	}
	set, err := jws.JWKS(keys...)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Write(set)
}
