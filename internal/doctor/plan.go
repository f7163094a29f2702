package doctor

import (
	"fmt"
	"strings"
	"time"
)

// A Plan is what Examine is going to send, before it is sent.
type Plan struct {
	TokenEndpoint string `json:"token_endpoint"`
	Steps         []Step `json:"steps"`
	// Most is how often refresh tokens of yours and their successors will be
	// presented at the most, and Least if the server allows no more than that.
	Least int `json:"presentations_at_least"`
	Most  int `json:"presentations_at_most"`
	// MadeUp is how many refresh tokens that are nobody's will be sent.
	MadeUp  int      `json:"made_up_at_most"`
	Skipped []string `json:"skipped"`
}

// A Step is one check.
type Step struct {
	What  string `json:"what"`
	Least int    `json:"presentations_at_least"`
	Most  int    `json:"presentations_at_most"`
	Costs string `json:"costs"`
}

// How often a check presents tokens at the most.
const (
	revocationMost = 4 // one of which with a wrong secret or key, and one right after that
	neighbourMost  = 2
)

// reuseMost: two refreshes, a second use, two for each delay after which it is
// tried again, the newest, then one that is older, and the newest again.
func reuseMost(limit time.Duration) int { return 2 + 1 + 2*len(delays(limit)) + 3 }

// delays are after what time a second use is tried again.
func delays(limit time.Duration) (list []time.Duration) {
	for _, s := range []time.Duration{1, 3, 10, 30, 60, 120, 300, 600} {
		if s*time.Second < limit {
			list = append(list, s*time.Second)
		}
	}
	if limit > 0 {
		list = append(list, limit)
	}
	return list
}

// Plan says what Examine will do. Look comes first.
func (d *Doctor) Plan() Plan {
	p := Plan{TokenEndpoint: d.metadata.TokenURL, Skipped: []string{}}
	probes := d.probes()
	p.MadeUp = len(probes)
	if d.metadata.DPoPAlgs != nil || d.config.DPoP {
		p.MadeUp += 2
	}
	p.add(Step{What: fmt.Sprintf("Sends up to %d refresh tokens that are made up, each right and wrong way of client authentication that there is, to see which is refused and how.", p.MadeUp),
		Costs: "no session; the server may count a failed attempt or two against the client"})
	n := len(d.config.Sessions) + d.config.Logins
	if d.config.Logins > 0 {
		p.add(Step{What: fmt.Sprintf("Makes %d sessions: prints a URL at which you sign in.", d.config.Logins), Costs: "what a sign-in costs"})
	}
	if asked := d.asked(); n > 0 && asked != "" {
		p.add(Step{What: "Asks " + asked + " about access tokens that come, and about the refresh token that is revoked.",
			Costs: "nothing"})
	}
	if n > 1 {
		p.add(Step{What: "Session 2: refreshes, revokes at " + or(d.metadata.RevocationURL, "no endpoint, since there is none") + ", and presents the revoked token in the end. If it is not clear yet how a wrong secret or key is answered: presents a live token with one, too.",
			Least: 1, Most: revocationMost, Costs: "ends session 2; there are servers on which a revoked token that is presented ends every session of the user"})
	}
	if n > 2 {
		p.add(Step{What: "Session 3: refreshes before and after session 1 has come to its end, to see whether it goes down with that.",
			Least: 1, Most: neighbourMost, Costs: "session 3 goes on with tokens that nobody keeps: its owner is signed out"})
	}
	if n > 0 {
		p.add(Step{What: "Session 1: refreshes twice and presents a spent refresh token at once" + d.later() + "; then one that is older, and after each refusal the newest. That is 2 presentations where nothing rotates, 4 where a second use is refused and ends the session, and 6 where it is refused and does not; only more where a second use is answered.",
			Least: 1, Most: reuseMost(d.config.GraceLimit),
			Costs: "ends session 1 in the way that a theft does; there are servers on which that ends every session of the user"})
	}
	for i, what := range []string{"rotation, a second use, what a dead token looks like, the access token", "revocation", "what the reuse of one token does to the user's other sessions"} {
		if i >= n {
			p.Skipped = append(p.Skipped, fmt.Sprintf("%s (needs %d refresh tokens, each of a sign-in of its own)", what, i+1))
		}
	}
	if n > 3 {
		p.Skipped = append(p.Skipped, fmt.Sprintf("session 4 and later: %d are left alone", n-3))
	}
	return p
}

// asked is who is asked about tokens.
func (d *Doctor) asked() string {
	var list []string
	for _, u := range []string{d.metadata.IntrospectionURL, d.metadata.UserinfoURL} {
		if u != "" && !d.config.Cookie {
			list = append(list, u)
		}
	}
	return strings.Join(list, " and ")
}

func (d *Doctor) later() string {
	list := delays(d.config.GraceLimit)
	if len(list) == 0 {
		return ""
	}
	var after []string
	for _, t := range list {
		after = append(after, t.String())
	}
	return ", and as long as that is answered again after " + strings.Join(after, ", ")
}

func (p *Plan) add(s Step) {
	p.Steps = append(p.Steps, s)
	p.Least += s.Least
	p.Most += s.Most
}

// String is the plan in plain words.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Plan: what is sent to %s\n", p.TokenEndpoint)
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "  %d. %s\n", i+1, s.What)
		switch {
		case s.Most == 0:
		case s.Least == s.Most:
			fmt.Fprintf(&b, "     Presentations of your tokens: %d.\n", s.Most)
		default:
			fmt.Fprintf(&b, "     Presentations of your tokens: %d to %d.\n", s.Least, s.Most)
		}
		fmt.Fprintf(&b, "     Costs: %s.\n", s.Costs)
	}
	fmt.Fprintf(&b, "In all: %d to %d presentations, and no other token is shown.\n", p.Least, p.Most)
	for _, s := range p.Skipped {
		fmt.Fprintf(&b, "Skipped: %s.\n", s)
	}
	return b.String()
}
