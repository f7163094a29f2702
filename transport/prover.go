package transport

import (
	"crypto"
	"errors"
	"net/http"
	"net/url"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// A Prover proves that the sender of a request holds the key that its tokens
// are bound to (DPoP, RFC 9449). Package dpop has one. A program has one Prover
// for its Transports and TokenEndpoints, since it remembers what the servers
// ask for. It is safe for concurrent use.
type Prover interface {
	// NewKey makes the key of a new session, or of one whose key was lost.
	NewKey() (crypto.Signer, error)

	// Prove sets the DPoP header of a request, which is otherwise as it will be
	// sent, to a new proof. An access token that it carries is part of that;
	// a request to a token endpoint has none. It must not read the body.
	Prove(req *http.Request, key crypto.Signer, access string) error

	// Learn takes from the header of an answer what the next proof for its
	// URL has to hold: the server's nonce (RFC 9449 section 8) and, if the
	// code is invalid_dpop_proof, the server's time. The code is the error
	// that the answer names, or empty. It reports whether a new proof differs
	// in what the code is about, so that it is worth sending.
	Learn(from *url.URL, header http.Header, key crypto.Signer, code string) (again bool)
}

// isBound reports whether the token works only with a proof.
func isBound(t tokencache.Token) bool { return t.Type() == "DPoP" }

// prove has the request proved. An error is one of the program's: nothing was
// sent.
func prove(p Prover, req *http.Request, key crypto.Signer, access string) error {
	err := errors.New("the token is bound to a key, and there is no DPoP to prove that with")
	if p != nil {
		err = p.Prove(req, key, access)
	}
	if err != nil {
		return &tokencache.Error{Reason: reason.Configuration, Unsent: true, Err: err}
	}
	return nil
}

// unbinding is the error of an endpoint without DPoP that is asked to refresh what
// is bound to a key: a session must not become less than it was in silence.
func unbinding() *tokencache.Error {
	return &tokencache.Error{Reason: reason.Configuration, Unsent: true,
		Err: errors.New("the token is bound to a key, and the endpoint has no DPoP to prove that with")}
}

// sentTo returns the URL as the server sees it.
func sentTo(req *http.Request) *url.URL {
	if req.Host == "" || req.Host == req.URL.Host {
		return req.URL
	}
	u := *req.URL
	u.Host = req.Host
	return &u
}
