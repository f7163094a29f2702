package challenge_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/challenge"
)

// B13, B19, T-C1 to T-C6
func TestDecide(t *testing.T) {
	type decision = challenge.Decision
	refresh, other, nonce := decision{}, decision{Verdict: challenge.Other}, decision{Verdict: challenge.Nonce}
	for _, test := range []struct {
		name   string
		values []string
		want   decision
	}{
		// T-C1
		{"no header: refresh", nil, refresh},
		{"nothing that parses: refresh", []string{`%%% """`}, refresh},
		{"parameters without a scheme: refresh", []string{`error="insufficient_scope"`}, refresh},
		{"Bearer without an error: refresh", []string{`Bearer realm="x"`}, refresh},
		{"Bearer with invalid_token: refresh", []string{`Bearer error="invalid_token"`}, refresh},
		{"DPoP with invalid_token: refresh", []string{`DPoP error="invalid_token", algs="ES256"`}, refresh},
		{"DPoP with invalid_dpop_proof: another proof", []string{`DPoP error="invalid_dpop_proof"`}, decision{Verdict: challenge.Proof}},
		{"an error that is not registered: refresh", []string{`Bearer error="request_unauthorized"`}, refresh},
		{"an unknown scheme: refresh", []string{`X-Own error="insufficient_scope"`}, refresh},
		{"an unknown scheme besides Basic: refresh", []string{`Basic realm="x", Token`}, refresh},
		{"Basic besides Bearer: refresh", []string{`Basic realm="x"`, `Bearer`}, refresh},
		{"OAuth for what is Bearer: refresh", []string{`OAuth "Facebook Platform" "invalid_token"`}, refresh},
		{"an error in a description only: refresh", []string{`Bearer error_description="error=insufficient_scope, DPoP error=use_dpop_nonce"`}, refresh},
		{"an error whose string has no end: refresh", []string{`Bearer error="insufficient_scope`}, refresh},
		{"64 KiB without a comma: refresh", []string{`Bearer ` + strings.Repeat("x", 64<<10)}, refresh},
		// T-C2
		{"a step-up with all it may ask for",
			[]string{`Bearer error="insufficient_user_authentication", acr_values="urn:a b", max_age="5", scope="read write"`},
			decision{challenge.StepUp, []string{"urn:a", "b"}, 5 * time.Second, true, []string{"read", "write"}}},
		{"a step-up that asks for nothing more", []string{`DPoP error=insufficient_user_authentication`}, decision{Verdict: challenge.StepUp}},
		{"a step-up with max_age 0 asks for a sign-in now", []string{`Bearer error="insufficient_user_authentication", max_age=0`},
			decision{Verdict: challenge.StepUp, HasMaxAge: true}},
		{"a max_age that is no number is none", []string{`Bearer error="insufficient_user_authentication", max_age=-1`},
			decision{Verdict: challenge.StepUp}},
		{"a max_age that would overflow is none", []string{`Bearer error="insufficient_user_authentication", max_age=99999999999999`},
			decision{Verdict: challenge.StepUp}},
		{"64 KiB after a step-up do not hide it",
			[]string{`Bearer error="insufficient_user_authentication", max_age=7, x="` + strings.Repeat(",", 64<<10)},
			decision{Verdict: challenge.StepUp, MaxAge: 7 * time.Second, HasMaxAge: true}},
		{"a step-up is believed over invalid_token", []string{`DPoP error="invalid_token"`, `Bearer error="insufficient_user_authentication"`},
			decision{Verdict: challenge.StepUp}},
		{"a step-up is believed over a scope, and only it is read",
			[]string{`Bearer error="insufficient_scope", scope="a", DPoP error="insufficient_user_authentication", acr_values=b`},
			decision{Verdict: challenge.StepUp, ACRValues: []string{"b"}}},
		// T-C3
		{"a missing scope", []string{`Bearer error="insufficient_scope", scope="a b"`},
			decision{Verdict: challenge.Scope, Scope: []string{"a", "b"}}},
		{"the first of two missing scopes", []string{`Bearer error="insufficient_scope", scope="a"`, `DPoP error="insufficient_scope", scope="b"`},
			decision{Verdict: challenge.Scope, Scope: []string{"a"}}},
		{"the scope of another error is not asked for", []string{`Bearer error="invalid_token", scope="a", max_age=1, acr_values=b`}, refresh},
		// T-C4
		{"a nonce", []string{`DPoP error="use_dpop_nonce", error_description="Resource server requires nonce"`}, nonce},
		{"a nonce besides Bearer", []string{`Bearer realm="x", DPoP error="use_dpop_nonce"`}, nonce},
		{"a nonce comes first: the token was not looked at", []string{`Bearer error="insufficient_scope", scope="a"`, `DPoP error="use_dpop_nonce"`}, nonce},
		// T-C5
		{"Basic only", []string{`Basic realm="x"`}, other},
		{"Negotiate, NTLM and Digest only", []string{"Negotiate", "NTLM TlRMTVNTUAACAAAA", `Digest realm="x", qop="auth,auth-int"`}, other},
		{"the error of a scheme that is about something else", []string{`Basic error="insufficient_scope"`}, other},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := http.Header{}
			for _, v := range test.values {
				h.Add("WWW-Authenticate", v)
			}
			got := challenge.Decide(h)
			// nil and empty say the same.
			if len(got.ACRValues) == 0 {
				got.ACRValues = nil
			}
			if len(got.Scope) == 0 {
				got.Scope = nil
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestDecideAllocatesNothingWithoutTheHeader(t *testing.T) {
	for _, h := range []http.Header{nil, {}, {"Content-Type": {"text/plain"}}} {
		if n := testing.AllocsPerRun(100, func() { challenge.Decide(h) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}
