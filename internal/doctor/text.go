package doctor

import (
	"fmt"
	"strings"
	"time"
)

// Text returns the report for people, and none of the secrets that were seen.
func (d *Doctor) Text() string {
	var b strings.Builder
	r := d.Report()
	row := func(name, format string, values ...any) {
		fmt.Fprintf(&b, "  %-22s %s\n", name, fmt.Sprintf(format, values...))
	}
	fmt.Fprintf(&b, "%s\n", or(r.Issuer, r.TokenEndpoint))
	row("token endpoint", "%s", r.TokenEndpoint)
	row("revocation", "%s", or(r.RevocationEndpoint, "none"))
	row("keys", "%s", or(strings.Join(r.Keys, ", "), "none published"))
	row("clock", "%s", r.Clock)
	d.clientText(row, r)
	row("DPoP", "%s", r.DPoP)
	accessText(row, r.Access)
	refreshText(row, r.Refresh)
	if r.Revocation.Works != "" {
		row("revocation works", "%s", r.Revocation)
	}
	for _, l := range alike(r.Dead) {
		understood := "understood"
		if !l.Understood {
			understood = "NOT understood"
		}
		row("dead looks like", "%s, body: %s: %s (%s)", l.Answer, l.Body, understood, l.When)
	}
	row("spent", "%d presentations of your tokens, %d made-up ones, %d revocations, %d questions about access tokens",
		r.Spent.Presentations, r.Spent.MadeUp, r.Spent.Revocations, r.Spent.Questions)
	for _, s := range r.Skipped {
		row("skipped", "%s", s)
	}
	b.WriteString("\nWarnings\n")
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "  - %s\n", w)
	}
	if len(r.Warnings) == 0 {
		b.WriteString("  none\n")
	}
	if r.Profile != "" {
		fmt.Fprintf(&b, "\nTo configure\n\n%s", r.Profile)
	}
	return d.secrets.without(b.String())
}

func (d *Doctor) clientText(row func(string, string, ...any), r Report) {
	if d.config.Cookie {
		row("client", "the cookie style: the refresh token is all")
		return
	}
	row("client methods", "advertised: %s", or(strings.Join(r.Client.Advertised, ", "), "nothing"))
	for _, t := range r.Client.Tried {
		to := ""
		if t.Audience != "" {
			to = " for " + t.Audience
		}
		row("", "%s%s: works: %s (right: %s, wrong: %s)", t.Method, to, t.Works, t.Right, t.Wrong)
	}
	if r.Client.Used != "" {
		row("client method used", "%s", r.Client.Used)
	}
}

func accessText(row func(string, string, ...any), a Access) {
	if a.Kind == "" {
		row("access token", notTried)
		return
	}
	kind := a.Kind
	if a.Alg != "" {
		kind = fmt.Sprintf("%s, alg %s, typ %s, key published: %s", a.Kind, a.Alg, or(a.Typ, "none"), a.KeyKnown)
	}
	row("access token", "%s", kind)
	honest := ""
	if a.Off != 0 {
		honest = fmt.Sprintf(" (the token lives %v longer)", time.Duration(a.Off))
	}
	row("expires_in", "%v, honest: %s%s", time.Duration(a.ExpiresIn), a.Honest, honest)
	by := ""
	if a.OldBy != "" {
		by = ", says " + a.OldBy
	}
	row("old access token", "after a refresh: %s%s", a.Old, by)
}

func refreshText(row func(string, string, ...any), r Refresh) {
	if r.Rotates == "" {
		row("refresh token", notTried)
		return
	}
	row("rotates", "%s; an answer leaves the refresh token out: %s", r.Rotates, map[bool]string{true: yes, false: no}[r.LeftOut])
	if r.Life > 0 {
		row("lives", "%v", time.Duration(r.Life))
	}
	row("second use", "at once: %s", or(r.SecondUse, notTried))
	if r.SecondUse == SamePair || r.SecondUse == AnotherPair {
		over := "not seen to end"
		if r.Over > 0 {
			over = fmt.Sprintf("refused after %v", time.Duration(r.Over))
		}
		row("grace", "answered after %v; %s", time.Duration(r.Grace), over)
	}
	if r.AfterSecondUse != "" {
		row("", "when it was refused, the newest token: %s", r.AfterSecondUse)
	}
	if r.Rotates == yes {
		row("old refresh token", "%s; the newest then: %s", or(r.Old, notTried), or(r.Family, notTried))
	}
	row("others of the user", "%s", or(r.Others, notTried))
}

// String is the clock in one line.
func (c Clock) String() string {
	date, iat := "no Date", "no iat"
	if c.Known {
		date = "Date: " + apart(c.Ahead)
	}
	if c.IssuedKnown {
		iat = "iat: " + apart(c.Issued)
	}
	return date + "; " + iat
}

// apart is how far a clock that tells seconds is from ours.
func apart(ahead Seconds) string {
	switch d := time.Duration(ahead); {
	case d.Abs() <= time.Second:
		return "as ours, to a second"
	case d < 0:
		return fmt.Sprintf("%v behind", -d)
	default:
		return fmt.Sprintf("%v ahead", d)
	}
}

// String is DPoP in one line.
func (p DPoP) String() string {
	if len(p.Advertised) == 0 && !p.Used {
		return "not advertised"
	}
	return fmt.Sprintf("advertised: %s; a nonce is demanded: %s; used here: %t",
		or(strings.Join(p.Advertised, ", "), "nothing"), p.Nonce, p.Used)
}

// String is the revocation in one line.
func (r Revocation) String() string {
	return fmt.Sprintf("%s (answered %s); the refresh token then: %s, its access token: %s",
		r.Works, r.Answer, or(r.Refresh, notTried), or(r.Access, notTried))
}
