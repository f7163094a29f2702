package dpop

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/rebearer/rebearer/internal/challenge"
)

// maxBody is how much of a refusal is read to see what it says.
const maxBody = 1 << 20

// Client returns an http.Client for the calls of a sign-in that come before there
// is a token: the pushed authorization request (RFC 9126), and the exchange of
// the code. With golang.org/x/oauth2 it goes into the context, as the value of
// oauth2.HTTPClient. base sends the requests. If nil, http.DefaultTransport.
//
// Each request gets a proof, without an access token. A server that asks for its
// nonce gets the request once more (RFC 9449 section 8): it has not looked at
// the code. That needs a body with GetBody, or none; otherwise the refusal is
// returned. One that calls the proof invalid may have looked: its
// time is learned for the next sign-in, but a code is not shown twice. No
// redirect is followed, since the code would be posted to wherever that leads.
//
// The Client is for one session. It needs no closing.
func (p *Prover) Client(key crypto.Signer, base http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     proving{p, key, base},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// proving is a RoundTripper that proves a key.
type proving struct {
	p    *Prover
	key  crypto.Signer
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t proving) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.send(req, req.Body)
	if err != nil {
		return nil, err
	}
	code := refusal(resp)
	if !t.learn(req, resp, code) || code != useNonce {
		return resp, nil
	}
	body := req.Body
	if body != nil && body != http.NoBody {
		if req.GetBody == nil {
			return resp, nil
		}
		if body, err = req.GetBody(); err != nil {
			return resp, nil
		}
	}
	resp.Body.Close()
	if resp, err = t.send(req, body); err != nil {
		return nil, err
	}
	t.learn(req, resp, refusal(resp))
	return resp, nil
}

// send sends a copy of the request with a new proof. RoundTrip may not change
// the caller's (http.RoundTripper), and no answer leads to the copy.
func (t proving) send(req *http.Request, body io.ReadCloser) (*http.Response, error) {
	proved := req.Clone(req.Context())
	proved.Body = body
	if err := t.p.Prove(proved, t.key, ""); err != nil {
		if body != nil {
			body.Close()
		}
		return nil, err
	}
	resp, err := t.transport().RoundTrip(proved)
	if err != nil {
		return nil, err
	}
	resp.Request = req
	if resp.Body == nil { // as http.Client forgives it
		resp.Body = http.NoBody
	}
	return resp, nil
}

func (t proving) learn(req *http.Request, resp *http.Response, code string) bool {
	return t.p.learn(req.URL, req.Host, resp.Header, t.key, code)
}

func (t proving) transport() http.RoundTripper {
	if t.base == nil {
		return http.DefaultTransport
	}
	return t.base
}

// refusal returns what an answer finds wrong with the proof, or "". A token
// endpoint says so in its body (RFC 9449 section 5), others in a challenge
// (section 7.1). The body can be read as if it had not been.
func refusal(resp *http.Response) string {
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		switch challenge.Decide(resp.Header).Verdict {
		case challenge.Nonce:
			return useNonce
		case challenge.Proof:
			return invalidProof
		}
	case http.StatusBadRequest:
	default:
		return ""
	}
	// An error comes again when the caller reads as far.
	head, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), resp.Body), resp.Body}
	// Into a map, since that is strict about the case of names.
	var members map[string]json.RawMessage
	var code string
	if json.Unmarshal(head, &members) != nil || json.Unmarshal(members["error"], &code) != nil {
		return ""
	}
	return code
}

// CloseIdleConnections has http.Client.CloseIdleConnections reach the base.
func (t proving) CloseIdleConnections() {
	if c, ok := t.transport().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Format prints no key, whatever the verb.
func (t proving) Format(f fmt.State, _ rune) { io.WriteString(f, "dpop.Client(…)") }

// LogValue logs no key.
func (t proving) LogValue() slog.Value { return slog.StringValue("dpop.Client(…)") }

// MarshalJSON returns an error: a log in JSON would hold the key.
func (t proving) MarshalJSON() ([]byte, error) {
	return nil, errors.New("dpop: the Client holds a private key and has no encoding")
}
