package doctor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What a check found. The words are for people, and for who reads the JSON.
const (
	notTried = "not tried"
	unknown  = "cannot be told"
	yes      = "yes"
	no       = "no"

	// SamePair and the rest are what a second use of a refresh token brings.
	SamePair    = "the same pair again"
	AnotherPair = "another pair"
	Refused     = "refused"

	// Lives and Dies are what becomes of other tokens.
	Lives = "lives"
	Dies  = "dies"
)

// Seconds is a duration that JSON has in seconds.
type Seconds time.Duration

// MarshalJSON implements json.Marshaler.
func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).Seconds()) }

func (s Seconds) String() string { return time.Duration(s).String() }

// A Report is what was found. It holds no token.
type Report struct {
	Issuer             string     `json:"issuer,omitempty"`
	Metadata           string     `json:"metadata,omitempty"`
	TokenEndpoint      string     `json:"token_endpoint"`
	RevocationEndpoint string     `json:"revocation_endpoint,omitempty"`
	JWKS               string     `json:"jwks_uri,omitempty"`
	Keys               []string   `json:"keys,omitempty"` // by alg or kty
	Clock              Clock      `json:"clock"`
	Client             Client     `json:"client"`
	DPoP               DPoP       `json:"dpop"`
	Access             Access     `json:"access_token"`
	Refresh            Refresh    `json:"refresh_token"`
	Revocation         Revocation `json:"revocation"`
	Dead               []Look     `json:"dead"`
	Slowest            Seconds    `json:"slowest_refresh_seconds"`
	Spent              Spent      `json:"spent"`
	Skipped            []string   `json:"skipped"`
	Warnings           []string   `json:"warnings"`
	Profile            string     `json:"profile,omitempty"`
}

// Clock is the server's less ours, by its Date and by the iat of a token.
type Clock struct {
	Ahead       Seconds `json:"date_ahead_seconds"`
	Known       bool    `json:"date_known"`
	Issued      Seconds `json:"iat_ahead_seconds"`
	IssuedKnown bool    `json:"iat_known"`
}

// Client is how the client authenticates.
type Client struct {
	Advertised []string `json:"advertised"`
	Tried      []Tried  `json:"tried"`
	Used       string   `json:"used"`
	Audience   string   `json:"audience,omitempty"` // of the assertion
	// Wrong is how a wrong secret or key is answered with a live refresh token,
	// where a made-up one did not tell. NotTold: as a dead token would be.
	Wrong   Answer `json:"wrong_answer_for_a_live_token"`
	NotTold bool   `json:"wrong_client_reads_like_a_dead_token"`
}

// Tried is a method of client authentication with a refresh token that is made
// up, and with a secret or key that is.
type Tried struct {
	Method   string `json:"method"`
	Audience string `json:"audience,omitempty"`
	Works    string `json:"works"`
	Right    Answer `json:"right_answer"`
	Wrong    Answer `json:"wrong_answer"`
}

// DPoP is RFC 9449.
type DPoP struct {
	Advertised []string `json:"advertised"`
	Nonce      string   `json:"nonce_demanded"`
	Used       bool     `json:"used"`
}

// Access is what is known of the access tokens.
type Access struct {
	Kind      string   `json:"kind,omitempty"` // JWT, JWE or opaque
	Alg       string   `json:"alg,omitempty"`
	Typ       string   `json:"typ,omitempty"`
	KeyKnown  string   `json:"key_published"`
	Issuer    string   `json:"iss,omitempty"`
	Audience  []string `json:"aud,omitempty"`
	ExpiresIn Seconds  `json:"expires_in_seconds"`
	// Honest: expires_in and exp agree, to a second or two.
	Honest string `json:"expires_in_honest"`
	// Off is how much longer the token lives than expires_in says.
	Off Seconds `json:"exp_less_expires_in_seconds"`
	// Old is what a refresh does to the access token before.
	Old string `json:"old_after_refresh"`
	// OldBy is who says so: the server, or the token's exp alone.
	OldBy string `json:"old_said_by,omitempty"`
}

// Refresh is what is known of the refresh tokens.
type Refresh struct {
	Rotates string `json:"rotates"`
	// LeftOut: an answer named no refresh token.
	LeftOut bool    `json:"answer_leaves_it_out"`
	Life    Seconds `json:"life_seconds"` // 0: the server does not say
	// SecondUse is what the token before the newest gets at once.
	SecondUse string `json:"second_use"`
	// Grace is for how long at least it is not refused, and Over when it is. If
	// Over is 0, that was not seen.
	Grace Seconds `json:"grace_at_least_seconds"`
	Over  Seconds `json:"grace_over_seconds"`
	// AfterSecondUse is what became of the newest when it was refused.
	AfterSecondUse string `json:"newest_after_second_use"`
	// Old is what one of two generations ago or more gets, and Family what became
	// of the newest then.
	Old    string `json:"old"`
	Family string `json:"newest_after_old"`
	// Others is what became of another session of the same user.
	Others string `json:"other_sessions_of_the_user"`
}

// Revocation is RFC 7009, or a logout.
type Revocation struct {
	Works   string `json:"works"`
	Answer  Answer `json:"answer"`
	Refresh string `json:"refresh_token"`
	Access  string `json:"access_token"`
}

// A Look is how a dead refresh token is answered.
type Look struct {
	When string `json:"when"`
	Answer
	// Understood: rebearer takes it for dead without being told. Entry is what it
	// has to be told.
	Understood bool   `json:"understood"`
	Entry      string `json:"entry,omitempty"`
}

// Spent is what was sent.
type Spent struct {
	Presentations int `json:"presentations"` // of tokens that were handed over, and of their successors
	MadeUp        int `json:"made_up"`       // refresh tokens that are nobody's
	Revocations   int `json:"revocations"`
	Questions     int `json:"questions"` // about access tokens
}

// Report returns what was found so far.
func (d *Doctor) Report() Report {
	r := d.report
	r.Spent = d.wire.spent
	r.Client.Advertised, r.DPoP.Advertised = plainly(r.Client.Advertised), plainly(r.DPoP.Advertised)
	for _, list := range []*[]string{&r.Client.Advertised, &r.DPoP.Advertised, &r.Skipped, &r.Warnings} {
		if *list == nil {
			*list = []string{}
		}
	}
	return r
}

func plainly(names []string) (list []string) {
	for _, n := range names {
		if n = plain(n); n != "" {
			list = append(list, n)
		}
	}
	return list
}

// JSON returns the plan and the report, and none of the secrets that were seen.
func (d *Doctor) JSON(p Plan) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // it is for no page, and a secret is to be found in it
	enc.SetIndent("", "  ")
	err := enc.Encode(struct {
		Plan   Plan   `json:"plan"`
		Report Report `json:"report"`
	}{p, d.Report()})
	if err != nil { // there is nothing in it that has no JSON
		return "{}\n"
	}
	return d.Without(b.String())
}

// Without returns a text with none of the secrets that were seen.
func (d *Doctor) Without(text string) string { return d.secrets.without(text) }

func (d *Doctor) warn(format string, values ...any) {
	line := fmt.Sprintf(format, values...)
	if !slices.Contains(d.report.Warnings, line) {
		d.report.Warnings = append(d.report.Warnings, line)
	}
}

func (d *Doctor) skip(what string) { d.report.Skipped = append(d.report.Skipped, what) }

// say tells of what goes on.
func (d *Doctor) say(format string, values ...any) {
	d.config.Say(d.secrets.without(fmt.Sprintf(format, values...)))
}
