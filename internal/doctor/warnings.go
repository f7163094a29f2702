package doctor

import (
	"slices"
	"time"
)

// Conclude draws the conclusions: warnings in plain words, and the profile.
func (d *Doctor) Conclude() {
	d.aboutRefresh()
	d.aboutDead()
	d.aboutAccess()
	d.aboutClient()
	d.aboutClock()
	d.report.Profile = d.profile()
}

func (d *Doctor) aboutRefresh() {
	r := d.report.Refresh
	if r.Rotates == no {
		d.warn("Refresh tokens do not rotate: a stolen one works until it ends or is revoked (RFC 9700 section 4.14.2 asks for rotation, or for tokens that are bound).")
	}
	if r.Family == Dies {
		d.warn("The reuse of a refresh token ends its session. One lost answer, one lock that ran out or two replicas without a shared Store are enough.")
	}
	if r.Others == Dies {
		d.warn("The reuse of one refresh token ends EVERY session of its user, on all devices.")
	}
	if r.SecondUse == AnotherPair {
		d.warn("A second use is answered with another pair: two of ours would go on with different tokens, of which one may be dead.")
	}
	if r.Rotates == yes && r.LeftOut {
		d.warn("Not every answer names a refresh token: the old one stays then, as rebearer does it.")
	}
	if d.report.Revocation.Works == yes && d.report.Revocation.Access == Lives {
		d.warn("A revoked session's access token lives until it ends.")
	}
	if d.metadata.RevocationURL == "" {
		d.warn("There is no revocation endpoint: a logout ends the session here, and the server does not learn of it.")
	}
}

// aboutDead has a warning for each answer that is not understood.
func (d *Doctor) aboutDead() {
	for _, l := range alike(d.report.Dead) {
		why := "which is not invalid_grant: Dead has to say so."
		switch {
		case l.Understood:
			continue
		case l.Status >= 500:
			why = "which reads like an outage: such a session is kept, and refreshed in vain until its cookies end."
		case l.blamesClient():
			why = "which blames the client. Add it to Dead only if no client can be misconfigured in production."
		case l.Code == "":
			why = "and no error code. In Dead, that status would end sessions for any other cause, too."
		}
		d.warn("Dead tokens are answered with %s (%s), %s", l.Answer, l.When, why)
	}
}

// alike puts together what is answered in the same way.
func alike(looks []Look) (list []Look) {
	for _, l := range looks {
		if i := slices.IndexFunc(list, func(m Look) bool { return m.Answer == l.Answer }); i >= 0 {
			list[i].When += "; " + l.When
			continue
		}
		list = append(list, l)
	}
	return list
}

func (d *Doctor) aboutAccess() {
	a := d.report.Access
	switch {
	case a.Kind == "opaque" || a.Kind == "JWE":
		d.warn("The access token is %s: no middleware.Verifier can read it, and only the server knows when it has ended.", map[string]string{"opaque": "opaque", "JWE": "encrypted (JWE)"}[a.Kind])
	case a.KeyKnown == no:
		d.warn("The key that signs access tokens is not in the key set.")
	}
	if a.Honest == no {
		d.warn("expires_in and the token's exp do not agree: it lives %v longer than expires_in says.", time.Duration(a.Off))
	}
	if a.Old == Dies {
		d.warn("A refresh ends the access token before at once: calls that are under way meet a 401, and are replayed. With several resources, prefer one audience.")
	}
}

func (d *Doctor) aboutClient() {
	c := d.report.Client
	if c.NotTold {
		d.warn("A wrong secret or key is answered in the same way as a dead refresh token: every session would look dead if the client were misconfigured. Test it before you deploy.")
	}
	if d.report.DPoP.Nonce == yes {
		d.warn("Proofs of DPoP have to have the server's nonce: rebearer sends each first one twice, and that is no presentation.")
	}
}

func (d *Doctor) aboutClock() {
	c := d.report.Clock
	if off := time.Duration(c.Ahead); c.Known && off.Abs() > 5*time.Second {
		d.warn("The server's clock is not this one: %s.", apart(c.Ahead))
	}
	if off := time.Duration(c.Issued); c.IssuedKnown && off.Abs() > 5*time.Second {
		d.warn("The iat of a new access token is not of this clock (%s): tokens may be refused as not yet valid, or used for too long.", apart(c.Issued))
	}
}
