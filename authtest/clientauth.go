package authtest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"

	"github.com/rebearer/rebearer/internal/jws"
)

// ClientAuth is how a client has to authenticate itself in the grant style, and
// at the endpoints for revocation and introspection. No other way is accepted
// in its stead.
type ClientAuth int

const (
	// NoClientAuth is for public clients. A client_id is not demanded, but has
	// to be right (RFC 6749 section 3.2.1).
	NoClientAuth ClientAuth = iota
	// ClientSecretBasic is HTTP Basic with both parts form-encoded first (RFC
	// 6749 section 2.3.1).
	ClientSecretBasic
	// ClientSecretPost is client_id and client_secret in the body.
	ClientSecretPost
	// PrivateKeyJWT is an assertion signed with the private key to
	// [ASConfig].ClientKey (RFC 7523 section 3). It works once.
	PrivateKeyJWT
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// checkClient returns "" if the request is that of the client.
func (as *AS) checkClient(r *http.Request, form url.Values) oauthError {
	used := NoClientAuth
	ways := 0
	for way, there := range map[ClientAuth]bool{
		ClientSecretBasic: r.Header.Get("Authorization") != "",
		ClientSecretPost:  form.Has("client_secret"),
		PrivateKeyJWT:     form.Has("client_assertion"),
	} {
		if there {
			used = way
			ways++
		}
	}
	// More than one is not allowed (RFC 6749 section 2.3).
	if ways > 1 {
		as.badClient()
		return invalidRequest
	}
	ok := used == as.config.ClientAuth && (!form.Has("client_id") || form.Get("client_id") == as.config.ClientID)
	if ok {
		switch used {
		case ClientSecretBasic:
			ok = as.checkBasic(r)
		case ClientSecretPost:
			ok = form.Has("client_id") && same(form.Get("client_secret"), as.config.ClientSecret)
		case PrivateKeyJWT:
			ok = form.Get("client_assertion_type") == assertionType && as.checkAssertion(form.Get("client_assertion"))
		}
	}
	if !ok {
		as.badClient()
		return invalidClient
	}
	return ""
}

func (as *AS) badClient() {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.counts.BadClients++
}

func (as *AS) checkBasic(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	id, err1 := url.QueryUnescape(user)
	secret, err2 := url.QueryUnescape(password)
	return ok && err1 == nil && err2 == nil && id == as.config.ClientID && same(secret, as.config.ClientSecret)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// checkAssertion checks what RFC 7523 section 3 demands: the signature, iss,
// sub, aud, exp, and a jti that is new.
func (as *AS) checkAssertion(assertion string) bool {
	var algs []string
	switch as.config.ClientKey.(type) {
	case *rsa.PublicKey:
		algs = []string{jws.RS256, jws.PS256}
	case *ecdsa.PublicKey:
		algs = []string{jws.ES256}
	case ed25519.PublicKey:
		algs = []string{jws.EdDSA}
	}
	key := func(string, string) (any, error) { return as.config.ClientKey, nil }
	claims, err := jws.Verify(assertion, algs, key)
	if err != nil || claims["iss"] != as.config.ClientID || claims["sub"] != as.config.ClientID || !as.addressed(claims["aud"]) {
		return false
	}
	jti, _ := claims["jti"].(string)
	as.mu.Lock()
	defer as.mu.Unlock()
	if jti == "" || as.assertions[jti] {
		return false
	}
	as.assertions[jti] = true
	return true
}

// addressed reports whether an aud, which is a string or a list of them, names
// this server.
func (as *AS) addressed(aud any) bool {
	list, ok := aud.([]any)
	if !ok {
		list = []any{aud}
	}
	return slices.ContainsFunc(list, func(a any) bool {
		return a == as.URL || a == as.TokenURL() || a == as.RevokeURL() || a == as.IntrospectURL()
	})
}
