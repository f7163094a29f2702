package doctor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rebearer/rebearer/internal/claims"
	"github.com/rebearer/rebearer/tokencache"
)

// seen notes what there is to be seen of tokens that have just come.
func (d *Doctor) seen(t tokencache.Token) {
	a, last := &d.report.Access, d.wire.last
	d.report.Refresh.LeftOut = d.report.Refresh.LeftOut || t.Refresh() == ""
	if !t.RefreshExpiry().IsZero() {
		d.report.Refresh.Life = Seconds(t.RefreshExpiry().Sub(last.came).Round(time.Second))
	}
	d.report.DPoP.Used = d.report.DPoP.Used || t.Key() != nil
	*a = Access{Old: or(a.Old, notTried), OldBy: a.OldBy, Kind: kindOf(t.Access()), KeyKnown: unknown, Honest: unknown}
	in, said := last.seconds("expires_in")
	a.ExpiresIn = Seconds(in)
	if !said && !d.config.Cookie {
		d.warn("The answer does not say when the access token ends (expires_in).")
	}
	header := headerOf(t.Access())
	a.Alg, a.Typ = plain(text(header, "alg")), strings.TrimPrefix(text(header, "typ"), "application/")
	a.Typ = plain(a.Typ)
	c := claims.Parse(t.Access())
	d.clock(c.IssuedAt)
	if a.Kind != "JWT" {
		return
	}
	a.KeyKnown = d.published(header)
	members := part(t.Access(), 1)
	a.Issuer = text(members, "iss")
	a.Audience = audiences(members["aud"])
	if c.Expiry.IsZero() || !said {
		return
	}
	life := c.Expiry.Sub(last.came)
	if !c.IssuedAt.IsZero() { // the two are of one clock
		life = c.Expiry.Sub(c.IssuedAt)
	}
	off := life - in
	a.Off, a.Honest = Seconds(off.Round(time.Second/10)), yes
	if off.Abs() > 2*time.Second {
		a.Honest = no
	}
}

// kindOf tells a JWT from a JWE and from a token that says nothing.
func kindOf(token string) string {
	switch dots := strings.Count(token, "."); {
	case headerOf(token) == nil:
	case dots == 2 && part(token, 1) != nil:
		return "JWT"
	case dots == 4:
		return "JWE"
	}
	return "opaque"
}

func headerOf(token string) map[string]any {
	h := part(token, 0)
	if text(h, "alg") == "" {
		return nil
	}
	return h
}

// part is a JSON object of a compact token, or nil.
func part(token string, i int) map[string]any {
	parts := strings.Split(token, ".")
	if i >= len(parts) {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		return nil
	}
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

func text(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}

func audiences(aud any) (list []string) {
	all, ok := aud.([]any)
	if !ok {
		all = []any{aud}
	}
	for _, a := range all {
		if s, ok := a.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

// published reports whether the key that signed is in the key set.
func (d *Doctor) published(header map[string]any) string {
	alg, id := text(header, "alg"), text(header, "kid")
	if strings.HasPrefix(alg, "HS") {
		return "no: a shared secret"
	}
	if d.metadata.keys == nil {
		return unknown
	}
	for _, k := range d.metadata.keys {
		if k.ID == id && (k.Alg == "" || k.Alg == alg) {
			return yes
		}
	}
	return no
}

// old asks the server about an access token that a refresh has replaced. A JWT of
// which the server does not tell lives, for who verifies it, until its exp.
func (d *Doctor) old(ctx context.Context, before, after tokencache.Token) {
	a := &d.report.Access
	a.Old, a.OldBy = unknown, ""
	if now, known := d.honoured(ctx, after.Access()); known && now {
		if was, known := d.honoured(ctx, before.Access()); known {
			a.Old, a.OldBy = map[bool]string{true: Lives, false: Dies}[was], "the server"
			return
		}
	}
	if a.Kind == "JWT" {
		a.Old, a.OldBy = Lives, "its exp alone"
	}
}

// honoured asks the server about an access token, and spends nothing by it.
func (d *Doctor) honoured(ctx context.Context, access string) (honoured, known bool) {
	active, told := d.introspect(ctx, access, "access_token")
	if active || d.config.DPoP {
		return active, told
	}
	// Not every server tells every client of all its tokens.
	if ok, asked := d.userinfo(ctx, access); asked {
		return ok, true
	}
	return active, told
}

// introspect is RFC 7662.
func (d *Doctor) introspect(ctx context.Context, token, hint string) (active, known bool) {
	if d.metadata.IntrospectionURL == "" || d.config.ClientID == "" || token == "" {
		return false, false
	}
	d.wire.spent.Questions++
	err := d.post(ctx, d.wire, d.metadata.IntrospectionURL, url.Values{"token": {token}, "token_type_hint": {hint}})
	active, ok := d.wire.last.members()["active"].(bool)
	return active, ok && err == nil && d.wire.last.status == http.StatusOK
}

// userinfo is OpenID Connect Core section 5.3.
func (d *Doctor) userinfo(ctx context.Context, access string) (honoured, known bool) {
	if d.metadata.UserinfoURL == "" || access == "" {
		return false, false
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.metadata.UserinfoURL, nil)
	if err != nil {
		return false, false
	}
	d.wire.spent.Questions++
	req.Header.Set("Authorization", "Bearer "+access)
	resp, err := d.wire.RoundTrip(req)
	if err != nil {
		return false, false
	}
	resp.Body.Close()
	ok := resp.StatusCode == http.StatusOK
	return ok, ok || resp.StatusCode == http.StatusUnauthorized
}
