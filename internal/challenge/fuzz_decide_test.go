package challenge_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/challenge"
)

// FuzzDecide: the order of the challenges does not change what is done, another
// one never turns what a refresh does not help into a refresh, and what a sign-in
// is asked for is a few words and a time (B13, B19, T-C1 to T-C6).
func FuzzDecide(f *testing.F) {
	for _, s := range []string{
		`Bearer error="invalid_token"`, `DPoP error="use_dpop_nonce"`, `Bearer error="insufficient_scope", scope="a b"`, `Basic realm="x"`, `Negotiate`, `x`, `,`, `Bearer error="`,
		`Bearer error="insufficient_user_authentication", acr_values="gold  silver", max_age=300`, `Bearer error=insufficient_user_authentication, max_age="-1"`,
		`DPoP error="invalid_dpop_proof", algs="ES256"`, `Bearer error="INVALID_TOKEN"`, `bearer ERROR="insufficient_scope"`, `Basic error="insufficient_scope"`, "Bearer error=\"insufficient_scope\", scope=\"\x00\"",
	} {
		f.Add(s, `Bearer error="invalid_token"`)
		f.Add(`Basic realm="a, Bearer error=\"insufficient_scope\""`, s)
	}
	f.Add("error=insufficient_user_authentication", "BeArer")
	decide := func(lines ...string) challenge.Decision {
		return challenge.Decide(http.Header{"Www-Authenticate": lines})
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		both := decide(a, b)
		for _, v := range both.ACRValues {
			if v == "" || strings.ContainsAny(v, " \t\r\n") {
				t.Errorf("acr value %q", v)
			}
		}
		if both.MaxAge < 0 || both.MaxAge%time.Second != 0 || both.MaxAge > (1<<32)*time.Second || both.MaxAge > 0 && !both.HasMaxAge {
			t.Errorf("max_age %v, %t", both.MaxAge, both.HasMaxAge)
		}
		if asks := len(both.ACRValues) > 0 || len(both.Scope) > 0 || both.HasMaxAge; asks && both.Verdict != challenge.StepUp && both.Verdict != challenge.Scope {
			t.Errorf("%+v", both)
		}
		if said := strings.ToLower(a + b); both.Verdict > challenge.Proof && !slices.ContainsFunc([]string{"insufficient_", "use_dpop_nonce"}, func(code string) bool {
			return strings.Contains(strings.ReplaceAll(said, `\`, ""), code)
		}) {
			t.Errorf("%q and %q are %+v", a, b, both)
		}
		if len(a)+len(b) > 4<<10 || strings.Count(a+b, ",") > 7 {
			return // not all of it need be considered
		}
		if goesOn(a) || goesOn(b) {
			return
		}
		if turned := decide(b, a); turned.Verdict != both.Verdict {
			t.Errorf("%q and %q are %v, and %v the other way round", a, b, both.Verdict, turned.Verdict)
		}
		// A line that says nothing at all is as good as none.
		one, two := decide(a), decide(b)
		if len(challenge.Parse([]string{a})) > 0 && len(challenge.Parse([]string{b})) > 0 && both.Verdict != max(one.Verdict, two.Verdict) {
			t.Errorf("%q is %v, %q is %v, together they are %v", a, one.Verdict, b, two.Verdict, both.Verdict)
		}
	})
}

// goesOn reports whether a line begins with parameters: they belong to the
// challenge of the line before (RFC 9110 section 5.3).
func goesOn(line string) bool {
	return challenge.Parse([]string{"Before", line})[0].Params != nil
}
