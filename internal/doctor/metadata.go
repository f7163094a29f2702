package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// metadata are those of RFC 8414 section 2 that matter here.
type metadata struct {
	Issuer           string   `json:"issuer"`
	AuthorizeURL     string   `json:"authorization_endpoint"`
	TokenURL         string   `json:"token_endpoint"`
	RevocationURL    string   `json:"revocation_endpoint"`
	IntrospectionURL string   `json:"introspection_endpoint"`
	UserinfoURL      string   `json:"userinfo_endpoint"`
	JWKSURL          string   `json:"jwks_uri"`
	Methods          []string `json:"token_endpoint_auth_methods_supported"`
	DPoPAlgs         []string `json:"dpop_signing_alg_values_supported"`
	Scopes           []string `json:"scopes_supported"`
	IssInAnswer      bool     `json:"authorization_response_iss_parameter_supported"`

	keys []jwk
}

type jwk struct {
	Type string `json:"kty"`
	ID   string `json:"kid"`
	Alg  string `json:"alg"`
	Use  string `json:"use"`
}

// Look reads what the server publishes. It sends no secret.
func (d *Doctor) Look(ctx context.Context) error {
	c := d.config
	if c.Issuer != "" && !c.Cookie {
		if err := d.discover(ctx); err != nil {
			return err
		}
	}
	m := &d.metadata
	m.TokenURL = or(c.TokenURL, m.TokenURL)
	m.RevocationURL = or(c.RevocationURL, m.RevocationURL)
	m.JWKSURL = or(c.JWKSURL, m.JWKSURL)
	for _, u := range []*string{&m.AuthorizeURL, &m.TokenURL, &m.RevocationURL, &m.IntrospectionURL, &m.UserinfoURL, &m.JWKSURL} {
		if err := safe(*u, c.Insecure); err != nil {
			d.warn("The metadata name an endpoint that is not safe to use, and that is left alone: %v", err)
			*u = ""
		}
	}
	d.report.Issuer, d.report.TokenEndpoint = m.Issuer, m.TokenURL
	d.report.RevocationEndpoint, d.report.JWKS = m.RevocationURL, m.JWKSURL
	d.report.Client.Advertised = m.Methods
	d.report.DPoP = DPoP{Advertised: m.DPoPAlgs, Nonce: notTried}
	if m.JWKSURL != "" {
		d.keys(ctx)
	}
	if m.TokenURL == "" {
		return errors.New("the metadata name no token endpoint: give one with -token-endpoint")
	}
	return nil
}

// discover tries the path of OpenID Connect Discovery section 4, and that of RFC
// 8414 section 3.1.
func (d *Doctor) discover(ctx context.Context) error {
	issuer, err := url.Parse(d.config.Issuer)
	if err != nil {
		return errors.New("the issuer is no URL")
	}
	openid := *issuer
	openid.Path = strings.TrimSuffix(issuer.Path, "/") + "/.well-known/openid-configuration"
	oauth := *issuer
	oauth.Path = "/.well-known/oauth-authorization-server" + strings.TrimSuffix(issuer.Path, "/")
	for _, at := range []string{openid.String(), oauth.String()} {
		var m metadata
		if err = d.get(ctx, at, &m); err != nil {
			continue
		}
		if ahead, ok := d.wire.last.date(); ok {
			d.report.Clock.Ahead, d.report.Clock.Known = Seconds(ahead), true
		}
		if m.Issuer != d.config.Issuer {
			d.warn("The metadata are those of the issuer %q, not of %q as asked for: libraries refuse that (RFC 8414 section 3.3).", m.Issuer, d.config.Issuer)
		}
		d.metadata, d.report.Metadata = m, at
		return nil
	}
	if d.config.TokenURL == "" {
		return fmt.Errorf("no metadata at %s or %s: %w", &openid, &oauth, err)
	}
	d.warn("There are no metadata at the issuer.")
	return nil
}

func (d *Doctor) keys(ctx context.Context) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := d.get(ctx, d.metadata.JWKSURL, &set); err != nil {
		d.warn("The key set cannot be read: %v", err)
		return
	}
	d.metadata.keys = set.Keys
	for _, k := range set.Keys {
		name := plain(or(k.Alg, k.Type))
		if name != "" && !slices.Contains(d.report.Keys, name) {
			d.report.Keys = append(d.report.Keys, name)
		}
	}
}

// get reads a JSON object. It follows no redirect: its answer says where tokens
// are to be sent.
func (d *Doctor) get(ctx context.Context, at string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := d.wire.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer was %d", resp.StatusCode)
	}
	if json.Unmarshal(d.wire.last.body, into) != nil {
		return errors.New("the answer is not the JSON that it should be")
	}
	return nil
}

// clock compares an iat, which is cut to seconds, with our own clock.
func (d *Doctor) clock(issued time.Time) {
	c := &d.report.Clock
	if ahead, ok := d.wire.last.date(); ok {
		c.Ahead, c.Known = Seconds(ahead), true
	}
	if issued.IsZero() {
		return
	}
	c.Issued, c.IssuedKnown = Seconds(issued.Add(time.Second/2).Sub(d.wire.last.came).Round(time.Second/10)), true
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
