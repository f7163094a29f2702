package doctor

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport/clientassertion"
	"github.com/rebearer/rebearer/transport/dpop"
)

// probe is a way of client authentication that is tried.
type probe struct {
	method, audience string
	wrong            bool // with a secret, a key or a client that is not the right one
}

// probes are those that the plan announces. Each is one made-up refresh token.
func (d *Doctor) probes() (list []probe) {
	c := d.config
	both := func(method, audience string) {
		list = append(list, probe{method, audience, false}, probe{method, audience, true})
	}
	if c.Cookie {
		return []probe{{}}
	}
	if c.ClientID == "" {
		return nil
	}
	if c.Key != nil {
		for _, audience := range d.audiences() {
			both("private_key_jwt", audience)
		}
	}
	if c.Secret != "" {
		both("client_secret_basic", "")
		both("client_secret_post", "")
	}
	both("none", "")
	return list
}

// audiences are what a client assertion may have to be for.
func (d *Doctor) audiences() []string {
	if d.config.Audience != "" {
		return []string{d.config.Audience}
	}
	if d.metadata.Issuer == "" {
		return []string{d.metadata.TokenURL}
	}
	return []string{d.metadata.Issuer, d.metadata.TokenURL}
}

// probe tries each, and takes what works.
func (d *Doctor) probe(ctx context.Context) error {
	var right outcome
	var looks []outcome // of a made-up token, by the right client
	for _, p := range d.probes() {
		o, err := d.try(ctx, p)
		if err == nil {
			err = o.unanswered()
		}
		switch {
		case err != nil:
			return err
		case p.method == "":
			d.dead(whenUnknown, o)
		case !p.wrong:
			right = o
		default:
			looks = append(looks, right)
			d.report.Client.Tried = append(d.report.Client.Tried, Tried{
				Method: p.method, Audience: p.audience, Works: judge(right.answer, o.answer), Right: right.answer, Wrong: o.answer,
			})
		}
	}
	if len(looks) > 0 {
		d.choose(looks)
	}
	return d.probeDPoP(ctx)
}

const whenUnknown = "a token that the server does not know"

// nobodys is a refresh token that is nobody's.
func nobodys() tokencache.Token {
	return tokencache.NewToken(tokencache.TokenFields{Refresh: madeUp + rand.Text()})
}

// try sends a refresh token that nobody has.
func (d *Doctor) try(ctx context.Context, p probe) (outcome, error) {
	if p.method == "" {
		return d.refresh(ctx, d.endpoint, nobodys()), nil
	}
	id, secret, signer := d.config.ClientID, d.config.Secret, d.signer
	if p.wrong {
		secret = "not-the-secret-" + rand.Text()
		if signer != nil {
			key, err := another(d.config.Key)
			if err != nil {
				return outcome{}, err
			}
			signer = &clientassertion.Signer{ClientID: id, Key: key, Alg: d.config.Alg, KeyID: d.config.KeyID}
		}
		if p.method == "none" {
			id = "rebearer-doctor-" + strings.ToLower(rand.Text())
		}
	}
	e := d.tokenEndpoint(p.method, p.audience, id, secret, signer)
	e.DPoP = nil
	return d.refresh(ctx, e, nobodys()), nil
}

// another is a key of the same kind, which the server does not know.
func another(key crypto.Signer) (crypto.Signer, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return rsa.GenerateKey(rand.Reader, 2048)
	case *ecdsa.PrivateKey:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ed25519.PrivateKey:
		_, made, err := ed25519.GenerateKey(rand.Reader)
		return made, err
	default:
		return nil, errors.New("the client's key is none for client assertions: " + fmt.Sprintf("%T", k))
	}
}

// judge compares how the right client and one that is not are answered, both
// with a refresh token that is made up.
func judge(right, wrong Answer) string {
	switch {
	case right.passing():
		return unknown
	case right.blamesClient():
		return no
	case right.Status == wrong.Status && right.Code == wrong.Code:
		return unknown
	}
	return yes
}

// choose takes the configured method, else the first that works, else the first
// that may.
func (d *Doctor) choose(looks []outcome) {
	c := &d.report.Client
	var chosen *Tried
	var look outcome
	for _, wanted := range []string{yes, unknown} {
		for i, t := range c.Tried {
			if chosen == nil && t.Works == wanted && (d.config.AuthMethod == "" || t.Method == d.config.AuthMethod) {
				chosen, look = &c.Tried[i], looks[i]
			}
		}
	}
	switch {
	case chosen != nil:
		c.Used, c.Audience = chosen.Method, chosen.Audience
	default: // as it is configured, and the first refresh says what is wrong
		c.Used = or(d.config.AuthMethod, c.Tried[0].Method)
		d.warn("No way of client authentication works: check the client ID, and the secret or key.")
	}
	d.endpointOf(c.Used, c.Audience)
	if chosen != nil && chosen.Works == unknown && !chosen.Right.passing() && c.Used != "none" {
		d.untold = true
	}
	for _, t := range c.Tried {
		if t.Method == "none" && t.Works == yes && c.Used != "none" {
			d.warn("The server takes this client without its secret or key: whoever has a refresh token can use it.")
		}
	}
	if chosen != nil {
		d.dead(whenUnknown, look)
	}
}

// probeDPoP asks whether proofs have to have a nonce.
func (d *Doctor) probeDPoP(ctx context.Context) error {
	if d.config.Cookie || d.config.ClientID == "" || d.metadata.DPoPAlgs == nil && !d.config.DPoP {
		return nil
	}
	prover := &dpop.Prover{}
	e := d.tokenEndpoint(d.report.Client.Used, d.report.Client.Audience, d.config.ClientID, d.config.Secret, d.signer)
	e.DPoP = prover
	nonce := watch{d.wire, false}
	e.Base = &nonce
	o := d.refresh(ctx, e, nobodys())
	d.report.DPoP.Nonce = no
	if nonce.demanded {
		d.report.DPoP.Nonce = yes
	}
	return o.unanswered()
}

// watch notes a demand for a nonce, which a TokenEndpoint meets by itself.
type watch struct {
	*wire
	demanded bool
}

func (w *watch) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.wire.RoundTrip(req)
	if err == nil && w.last.answer().Code == "use_dpop_nonce" {
		w.demanded = true
	}
	return resp, err
}

// post sends a form that a TokenEndpoint does not send, as the client, and
// reads the answer into wire.last. Its error quotes nothing.
func (d *Doctor) post(ctx context.Context, client http.RoundTripper, to string, form url.Values) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	switch d.report.Client.Used {
	case "client_secret_basic":
		r := http.Request{Header: header}
		r.SetBasicAuth(url.QueryEscape(d.config.ClientID), url.QueryEscape(d.config.Secret)) // RFC 6749 section 2.3.1
	case "client_secret_post":
		form.Set("client_id", d.config.ClientID)
		form.Set("client_secret", d.config.Secret)
	case "private_key_jwt":
		jwt, err := d.signer.Assertion(ctx, d.report.Client.Audience)
		if err != nil {
			return err
		}
		form.Set("client_id", d.config.ClientID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", jwt)
	default:
		form.Set("client_id", d.config.ClientID)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return errors.New("that is no URL")
	}
	req.Header = header
	resp, err := client.RoundTrip(req)
	if err != nil {
		return errors.New("there was no answer")
	}
	io.Copy(io.Discard, resp.Body)
	return resp.Body.Close()
}
