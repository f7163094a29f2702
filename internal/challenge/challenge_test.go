package challenge_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/internal/challenge"
)

// B19, T-C6
func TestParse(t *testing.T) {
	type params = map[string]string
	one := func(scheme string, p params) []challenge.Challenge {
		return []challenge.Challenge{{Scheme: scheme, Params: p}}
	}
	two := func(a, b challenge.Challenge) []challenge.Challenge { return []challenge.Challenge{a, b} }
	for _, test := range []struct {
		name   string
		values []string
		want   []challenge.Challenge
	}{
		{"no value is no challenge", nil, nil},
		{"an empty value is no challenge", []string{"", " \t", " , ,,"}, nil},
		{"a scheme may stand alone", []string{"Bearer"}, one("bearer", nil)},
		{"schemes and names are lower-cased, values are not", []string{`BEARER Realm="Api", ERROR=Invalid_Token`},
			one("bearer", params{"realm": "Api", "error": "Invalid_Token"})},
		{"the first of two equal names stands", []string{`Bearer error="a", Error="b"`}, one("bearer", params{"error": "a"})},
		{"one line holds two challenges", []string{`Basic realm="a", Bearer realm="b", error="invalid_token"`},
			two(challenge.Challenge{Scheme: "basic", Params: params{"realm": "a"}},
				challenge.Challenge{Scheme: "bearer", Params: params{"realm": "b", "error": "invalid_token"}})},
		{"two lines hold two challenges", []string{`DPoP algs="ES256 PS256"`, `Bearer`},
			two(challenge.Challenge{Scheme: "dpop", Params: params{"algs": "ES256 PS256"}}, challenge.Challenge{Scheme: "bearer"})},
		{"the second line goes on with the first one's challenge", []string{`Bearer realm="a"`, `error="invalid_token"`},
			one("bearer", params{"realm": "a", "error": "invalid_token"})},
		{"empty list elements are skipped", []string{`,, Bearer ,, ,Basic realm=a,`},
			two(challenge.Challenge{Scheme: "bearer"}, challenge.Challenge{Scheme: "basic", Params: params{"realm": "a"}})},
		{"a quoted comma ends nothing", []string{`Bearer error_description="expired, Basic realm=x, error=y", error="z"`},
			one("bearer", params{"error_description": "expired, Basic realm=x, error=y", "error": "z"})},
		{"a quoted pair is one character", []string{`Bearer realm="a\"b\\", error="\i\n"`},
			one("bearer", params{"realm": `a"b\`, "error": "in"})},
		{"an empty quoted string is a value", []string{`Bearer realm=""`}, one("bearer", params{"realm": ""})},
		{"there may be spaces around the equals sign", []string{"Bearer realm \t= \"a\" , error= b"},
			one("bearer", params{"realm": "a", "error": "b"})},
		{"a token68 is skipped", []string{`Negotiate YII/+a.b~c==, Bearer abc, Basic realm="a"`},
			[]challenge.Challenge{{Scheme: "negotiate"}, {Scheme: "bearer"}, {Scheme: "basic", Params: params{"realm": "a"}}}},
		{"a token68 with padding is no parameter", []string{`Negotiate YII=`}, one("negotiate", nil)},
		{"commas between parameters may be missing", []string{`Bearer realm="a" error="b" scope=c`},
			one("bearer", params{"realm": "a", "error": "b", "scope": "c"})},
		{"unquoted values may hold more than a token", []string{`Bearer acr_values=urn:x:loa/2, error=e`},
			one("bearer", params{"acr_values": "urn:x:loa/2", "error": "e"})},
		{"a quoted string without an end is left out", []string{`Bearer realm="a", error="insufficient_scope`},
			one("bearer", params{"realm": "a"})},
		{"a quoted string ends with its line", []string{`Bearer realm="a`, `error="b"`}, one("bearer", params{"error": "b"})},
		{"a backslash at the end quotes nothing", []string{`Bearer realm="a\`}, one("bearer", nil)},
		{"a parameter without a scheme is ignored", []string{`realm="a", error="b"`}, nil},
		{"a scheme without a space before its parameters is none", []string{`Bearer: error="x"`, `Bearer"x"`, `Bearer/error="x"`}, nil},
		{"what is no challenge is skipped up to the comma", []string{`@@@ "a, b" c, Bearer error="x"`}, one("bearer", params{"error": "x"})},
		{"quoted strings without names are skipped", []string{`OAuth "Facebook Platform" "invalid_token", Bearer`},
			two(challenge.Challenge{Scheme: "oauth"}, challenge.Challenge{Scheme: "bearer"})},
		{"unknown schemes are kept", []string{`X-Own a=1`}, one("x-own", params{"a": "1"})},
		{"other bytes are no letters", []string{"B\u00e9arer error=x", "\x00\xff", "Bearer"}, one("bearer", nil)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := challenge.Parse(test.values); !reflect.DeepEqual(got, test.want) {
				t.Errorf("Parse(%q)\n got %+v\nwant %+v", test.values, got, test.want)
			}
		})
	}
}

// B19, T-C6, T-L5
func TestParseConsidersNoMoreThanItSays(t *testing.T) {
	t.Run("16 challenges, and nothing of the 17th", func(t *testing.T) {
		many := strings.Repeat("A, ", 16) + "B x=1"
		got := challenge.Parse([]string{many, `error="late"`})
		if len(got) != 16 || got[15].Scheme != "a" || got[15].Params != nil {
			t.Errorf("%d challenges, the last one %+v", len(got), got[len(got)-1])
		}
	})
	t.Run("16 KiB in one line", func(t *testing.T) {
		fits := `Bearer error="a", d="` + strings.Repeat("x", 16<<10-22) + `"`
		if got := challenge.Parse([]string{fits}); len(fits) != 16<<10 || len(got[0].Params["d"]) != 16<<10-22 {
			t.Errorf("what just fits was not read: %d bytes", len(fits))
		}
		got := challenge.Parse([]string{fits[:17] + " " + fits[17:]})
		if want := []challenge.Challenge{{Scheme: "bearer", Params: map[string]string{"error": "a"}}}; !reflect.DeepEqual(got, want) {
			t.Errorf("of what is a byte too long, the whole elements are to be read; got %d challenges, %d parameters", len(got), len(got[0].Params))
		}
	})
	t.Run("16 KiB over all lines", func(t *testing.T) {
		got := challenge.Parse([]string{"Basic realm=" + strings.Repeat("x", 16<<10-14), "A, B", "C"})
		if len(got) != 2 || got[1].Scheme != "a" {
			t.Errorf("got %d challenges, want basic and a", len(got))
		}
	})
}

// nasty are the inputs that parsers of this grammar take quadratic time for.
func nasty(size int) map[string]string {
	fill := func(prefix, unit string) string { return prefix + strings.Repeat(unit, size/len(unit)) }
	return map[string]string{
		"quotes":            fill("Bearer ", `"`),
		"open strings":      fill("Bearer ", `a=",`),
		"backslashes":       fill(`Bearer a="`, `\`),
		"quoted pairs":      fill(`Bearer a="`, `\"`) + `"`,
		"spaces":            fill("Bearer", " "),
		"a's and spaces":    fill("Bearer ", "a "),
		"commas":            fill("", ","),
		"equals signs":      fill("Bearer ", "="),
		"a long token":      fill("", "a"),
		"a long token68":    fill("Bearer ", "a") + "==x",
		"equal parameters":  fill("Bearer ", "a=1,"),
		"schemes":           fill("", "a,"),
		"schemes, token68s": fill("", "a a=,"),
		"junk":              fill("Bearer ", "\x00@,"),
	}
}

// B19, T-C6, T-L5: 4 MiB cost no more allocations than 16 KiB do, and doubling
// what is below the limit at most doubles them. The bytes looked at follow
// from that limit; no clock is needed.
func TestParseIsLinear(t *testing.T) {
	allocs := func(s string) float64 {
		values := []string{s}
		return testing.AllocsPerRun(3, func() { challenge.Parse(values) })
	}
	half, full, huge := nasty(7<<10), nasty(14<<10), nasty(4<<20)
	for name := range half {
		t.Run(name, func(t *testing.T) {
			h, f, x := allocs(half[name]), allocs(full[name]), allocs(huge[name])
			if f > 2*h+1 || x > f+1 || x > 50 {
				t.Errorf("%v allocations for 7 KiB, %v for 14 KiB, %v for 4 MiB", h, f, x)
			}
		})
	}
}

// format writes challenges the way RFC 9110 section 11.6.1 wants them.
func format(list []challenge.Challenge) string {
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, ", %s ", c.Scheme)
		sep := ""
		for name, value := range c.Params {
			value = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value)
			fmt.Fprintf(&b, `%s%s="%s"`, sep, name, value)
			sep = ", "
		}
	}
	return b.String()
}

// B19, T-C6
func FuzzParse(f *testing.F) {
	f.Add(`Bearer realm="a, b", error="invalid_token"`, `Basic realm=x`)
	f.Add(`DPoP error="use_dpop_nonce", error_description="a \"b\" c"`, `algs=ES256`)
	f.Add(`Negotiate YII==, Bearer error=insufficient_user_authentication, acr_values="a b", max_age=5`, ``)
	for _, s := range nasty(200) {
		f.Add(s, s)
	}
	f.Add(strings.Repeat("x", 16<<10), `Bearer error="y"`)
	f.Fuzz(func(t *testing.T, a, b string) {
		got := challenge.Parse([]string{a, b})
		if len(got) > 16 {
			t.Fatalf("%d challenges", len(got))
		}
		size := 0
		for _, c := range got {
			if c.Scheme == "" || c.Scheme != strings.ToLower(c.Scheme) {
				t.Errorf("scheme %q", c.Scheme)
			}
			size += len(c.Scheme)
			for name, value := range c.Params {
				if name == "" || name != strings.ToLower(name) {
					t.Errorf("name %q", name)
				}
				size += len(name) + len(value)
			}
		}
		if size > min(len(a)+len(b), 16<<10) {
			t.Errorf("%d bytes came out of %d", size, len(a)+len(b))
		}
		// What is accepted means the same when it is written properly.
		if s := format(got); len(s) <= 16<<10 {
			if again := challenge.Parse([]string{s}); !reflect.DeepEqual(again, got) {
				t.Errorf("%q\n%+v\n%+v", s, got, again)
			}
		}
		// Lines are one list (RFC 9110 section 5.3), but for a string that a
		// line leaves open.
		if joined := a + "," + b; len(joined) <= 16<<10 && !strings.Contains(a, `"`) {
			if again := challenge.Parse([]string{joined}); !reflect.DeepEqual(again, got) {
				t.Errorf("%q\n%+v\n%+v", joined, got, again)
			}
		}
	})
}
