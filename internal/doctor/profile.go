package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rebearer/rebearer/internal/jws"
)

// profile is Go code of what is to be configured. It holds no secret.
func (d *Doctor) profile() string {
	var b strings.Builder
	if d.config.Cookie {
		d.cookieProfile(&b)
	} else {
		d.grantProfile(&b)
	}
	d.coordinator(&b)
	d.verifier(&b)
	return b.String()
}

// literal writes the fields of a struct as gofmt would.
func literal(b *strings.Builder, head string, fields [][2]string) {
	widest := 0
	for _, f := range fields {
		widest = max(widest, len(f[0]))
	}
	fmt.Fprintf(b, "%s{\n", head)
	for _, f := range fields {
		fmt.Fprintf(b, "\t%s:%s %s,\n", f[0], strings.Repeat(" ", widest-len(f[0])), f[1])
	}
	b.WriteString("}\n")
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

func list(names []string) string {
	return strings.Replace(fmt.Sprintf("%#v", names), "[]string(nil)", "nil", 1)
}

func (d *Doctor) grantProfile(b *strings.Builder) {
	c, r := d.config, d.report
	fields := [][2]string{{"URL", quoted(d.metadata.TokenURL)}}
	add := func(when bool, name, value string) {
		if when {
			fields = append(fields, [2]string{name, value})
		}
	}
	add(d.metadata.RevocationURL != "", "RevocationURL", quoted(d.metadata.RevocationURL))
	add(c.ClientID != "", "ClientID", quoted(c.ClientID))
	method := r.Client.Used
	switch { // nothing was tried yet
	case method != "":
	case c.Key != nil:
		method = "private_key_jwt"
	case c.Secret != "":
		method = or(c.AuthMethod, "client_secret_basic")
	}
	switch method {
	case "client_secret_basic", "client_secret_post":
		add(true, "ClientSecret", `os.Getenv("CLIENT_SECRET")`)
		add(method == "client_secret_post", "AuthMethod", quoted(method))
	case "private_key_jwt":
		add(true, "Assertion", "signer.Assertion")
		add(r.Client.Audience != d.metadata.TokenURL && r.Client.Audience != "", "Audience", quoted(r.Client.Audience))
		signer := [][2]string{{"ClientID", quoted(c.ClientID)}, {"Key", "key"}, {"Alg", quoted(c.Alg)}}
		if c.KeyID != "" {
			signer = append(signer, [2]string{"KeyID", quoted(c.KeyID)})
		}
		b.WriteString("var key crypto.Signer // load it\n")
		literal(b, "signer := &clientassertion.Signer", signer)
	}
	add(c.Scope != "" && c.Logins == 0, "Scope", quoted(c.Scope))
	add(c.Resource != "", "Resource", quoted(c.Resource))
	if c.DPoP {
		b.WriteString("prover := &dpop.Prover{} // also of the Transport\n")
		add(true, "DPoP", "prover")
	}
	add(d.deadEntries() != nil, "Dead", list(d.deadEntries()))
	add(c.Insecure, "InsecureNoTLS", "true")
	literal(b, "endpoint := &transport.TokenEndpoint", fields)
}

func (d *Doctor) cookieProfile(b *strings.Builder) {
	c := d.config
	fields := [][2]string{{"URL", quoted(d.metadata.TokenURL)}}
	for _, f := range [][2]string{
		{"LogoutURL", d.metadata.RevocationURL}, {"AccessCookie", c.AccessCookie}, {"RefreshCookie", c.RefreshCookie}, {"AccessMember", c.AccessMember},
	} {
		if f[1] != "" {
			fields = append(fields, [2]string{f[0], quoted(f[1])})
		}
	}
	if dead := d.deadEntries(); dead != nil {
		fields = append(fields, [2]string{"Dead", list(append([]string{"401", "403"}, dead...))})
	}
	if c.Insecure {
		fields = append(fields, [2]string{"InsecureNoTLS", "true"})
	}
	literal(b, "endpoint := &transport.CookieEndpoint", fields)
}

// deadEntries are what Dead has to say, in the order in which it was seen.
func (d *Doctor) deadEntries() (entries []string) {
	for _, l := range d.report.Dead {
		if l.Entry != "" && !slices.Contains(entries, l.Entry) {
			entries = append(entries, l.Entry)
		}
	}
	return entries
}

func (d *Doctor) coordinator(b *strings.Builder) {
	r := d.report
	fields := [][2]string{{"Refresher", "endpoint"}}
	if d.metadata.RevocationURL != "" && r.Revocation.Works != no {
		fields = append(fields, [2]string{"Revoker", "endpoint"})
	}
	realm := strings.TrimSpace(or(d.metadata.Issuer, d.metadata.TokenURL) + " " + d.config.ClientID)
	fields = append(fields, [2]string{"Realm", quoted(realm)})
	if slow := time.Duration(r.Slowest); slow > 3*time.Second {
		fields = append(fields, [2]string{"Timeout", seconds(3 * slow)})
	}
	if life := time.Duration(r.Refresh.Life); life > 0 && life < 24*time.Hour {
		fields = append(fields, [2]string{"Hold", seconds(life)})
	}
	for _, line := range d.hints() {
		fmt.Fprintf(b, "// %s\n", line)
	}
	literal(b, "coordinator := &tokencache.Coordinator", fields)
}

// hints are about what stays as it is, and why.
func (d *Doctor) hints() (lines []string) {
	r := d.report.Refresh
	switch {
	case r.Rotates == yes && r.Family == Dies && r.Grace > 0:
		lines = append(lines, "The server forgives a second use for some time only: several replicas need one Store.")
	case r.Rotates == yes && r.Family == Dies:
		lines = append(lines, "A refresh token that comes twice ends the session: several replicas need one Store.")
	case r.Rotates == yes && r.SecondUse == Refused:
		lines = append(lines, "A spent refresh token is refused: without one Store, replicas lose to each other.")
	case r.Rotates == no:
		lines = append(lines, "Nothing rotates: a Store saves refreshes, and tells the replicas of a logout.")
	}
	if r.Life > 0 && r.Life < Seconds(24*time.Hour) {
		lines = append(lines, "Hold: no longer than a refresh token lives.")
	}
	return append(lines, "Grace, Lease and Cooldown are ours and not the server's: zero is right.")
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%d * time.Second", int64((d+time.Second-1)/time.Second))
}

// verifier is what can check the access tokens, if anything can.
func (d *Doctor) verifier(b *strings.Builder) {
	a := d.report.Access
	if a.Kind != "JWT" || !slices.Contains([]string{jws.HS256, jws.RS256, jws.PS256, jws.ES256, jws.EdDSA}, a.Alg) {
		return
	}
	fields := [][2]string{{"Algorithms", list([]string{a.Alg})}}
	switch {
	case a.Alg == jws.HS256:
		fields = append(fields, [2]string{"Key", `[]byte(os.Getenv("JWT_SECRET"))`})
	case d.metadata.JWKSURL != "":
		fields = append(fields, [2]string{"JWKSURL", quoted(d.metadata.JWKSURL)})
	default:
		fields = append(fields, [2]string{"JWKSURL", `"https://…"`})
	}
	if a.Issuer != "" {
		fields = append(fields, [2]string{"Issuer", quoted(a.Issuer)})
	}
	if len(a.Audience) > 0 {
		fields = append(fields, [2]string{"Audience", quoted(a.Audience[0])})
	}
	if off := time.Duration(d.report.Clock.Issued).Abs(); d.report.Clock.IssuedKnown && off > 20*time.Second {
		fields = append(fields, [2]string{"Leeway", seconds(off + 30*time.Second)})
	}
	literal(b, "verifier := &middleware.Verifier", fields)
}
