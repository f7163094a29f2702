package claims_test

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/claims"
)

// usual is what an authorization server says in an access token.
const usual = `{"iss":"https://as.example.com/realms/shop","sub":"5f0c7a1e-41d1-4bd5-9a3e-6a1e8d1c1a3f","aud":["api","account"],"client_id":"bff",` +
	`"realm_access":{"roles":["offline_access","customer"]},"scope":"openid profile orders:read","email_verified":true,"nonce":null,"iat":1764127000,"exp":1764127300,"jti":"0f8fad5b-d9cb-469f-a165-70867728950e"}`

func token(payload string) string {
	return "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2lnbmF0dXJl"
}

// oracle is what Parse did before it had a scanner: encoding/json and a map.
func oracle(token string) claims.Claims {
	if len(token) > 64<<10 || strings.Count(token, ".") != 2 {
		return claims.Claims{}
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	var m map[string]json.RawMessage
	if err != nil || json.Unmarshal(raw, &m) != nil {
		return claims.Claims{}
	}
	var sub string
	if json.Unmarshal(m["sub"], &sub) != nil {
		sub = ""
	}
	date := func(raw json.RawMessage) time.Time {
		var f float64
		if len(raw) == 0 || json.Unmarshal(raw, &f) != nil || !(f > 0 && f < 4102444800) {
			return time.Time{}
		}
		sec, frac := math.Modf(f)
		return time.Unix(int64(sec), int64(frac*1e9))
	}
	return claims.Claims{Expiry: date(m["exp"]), IssuedAt: date(m["iat"]), Subject: sub}
}

// The payloads that two readers could see differently.
var payloads = map[string]string{
	"as usual":                        usual,
	"empty":                           ``,
	"an empty object":                 `{}`,
	"white space everywhere":          " \t\r\n{ \"exp\" : 1764127300 , \"sub\" : \"ada\" , \"iat\" : 1 } \n",
	"another white space":             "{\"exp\":\v1}",
	"a list":                          `[{"exp":1}]`,
	"null":                            `null`,
	"a string":                        `"exp"`,
	"a number":                        `1764127300`,
	"exp twice":                       `{"exp":1,"exp":2}`,
	"exp twice, then as text":         `{"exp":1,"exp":"2"}`,
	"exp twice, then null":            `{"exp":1,"exp":null}`,
	"sub twice, then null":            `{"sub":"a","sub":null}`,
	"exp in another case":             `{"EXP":1,"Exp":2}`,
	"exp in an object":                `{"a":{"exp":1,"sub":"eve"},"sub":"ada"}`,
	"exp in a list":                   `{"a":[{"exp":1}],"exp":[1]}`,
	"exp as an object":                `{"exp":{}}`,
	"exp by an escape":                `{"\u0065xp":1,"s\u0075b":"ada"}`,
	"exp, and exp by an escape":       `{"exp":1,"\u0065xp":2}`,
	"a name that cannot be":           `{"\u00":1,"exp":1}`,
	"half a pair of surrogates":       `{"sub":"\ud800","\udc00":1,"exp":1}`,
	"a pair of surrogates":            `{"sub":"\ud83d\ude00","exp":1}`,
	"a subject with escapes":          `{"sub":"https:\/\/a\n\t\"\\","exp":1}`,
	"a subject that is empty":         `{"sub":"","exp":1}`,
	"a subject in UTF-8":              `{"sub":"Зоя","exp":1}`,
	"a subject that is no UTF-8":      "{\"sub\":\"a\xff\xc0b\",\"exp\":1}",
	"a name that is no UTF-8":         "{\"a\xff\":1,\"exp\":1}",
	"a byte order mark":               "\xef\xbb\xbf{\"exp\":1}",
	"a control character":             "{\"sub\":\"a\x01\",\"exp\":1}",
	"DEL":                             "{\"sub\":\"a\x7f\",\"exp\":1}",
	"NUL behind":                      "{\"exp\":1}\x00",
	"NUL before":                      "\x00{\"exp\":1}",
	"an escape that is none":          `{"sub":"\x41","exp":1}`,
	"a subject that is a number":      `{"sub":1,"exp":1}`,
	"a tail":                          `{"exp":1}{}`,
	"a tail of a comma":               `{"exp":1},`,
	"a trailing comma":                `{"exp":1,}`,
	"a leading comma":                 `{,"exp":1}`,
	"a trailing comma in a list":      `{"a":[1,],"exp":1}`,
	"no value":                        `{"exp":}`,
	"no colon":                        `{"exp" 1}`,
	"no quotes":                       `{exp:1}`,
	"other quotes":                    `{'exp':1}`,
	"no comma":                        `{"exp":1 "iat":1}`,
	"a comment":                       `{"exp":1/**/}`,
	"not closed":                      `{"exp":1`,
	"a string that is not closed":     `{"exp":1,"a":"`,
	"an escape at the end":            `{"exp":1,"a":"\`,
	"a list that is closed otherwise": `{"exp":1,"a":[}`,
	"a word that is cut":              `{"exp":1,"a":tru}`,
	"a word that is longer":           `{"exp":1,"a":nullx}`,
	"a word in another case":          `{"exp":1,"a":True}`,
	"true, false and null":            `{"a":[true,false,null],"exp":1}`,
	"empty ones":                      `{"a":[],"b":{},"c":[[],[{}]],"exp":1}`,
}

// The numbers that exp can be, and those that it cannot.
var numbers = []string{
	`0`, `-0`, `1`, `-1`, `01`, `00`, `+1`, `1.`, `.1`, `1.5`, `1.0`, `1e9`, `1E9`, `1e+9`, `1e-9`, `1e`, `1e+`, `1.e3`, `-`, `--1`, `1-`, `0x10`, `1_000`, `1,5`,
	`1e300`, `1e400`, `-1e400`, `1e-400`, `1e19`, `9223372036854775807`, `18446744073709551616`, `4102444799`, `4102444799.999999999`, `4102444800`,
	`1764127300.123456789`, `1764127300.1234567891234567891234567891234567890`, `17641273000e-1`, `0.0000000001`, `NaN`, `Infinity`, `-Infinity`, `1 2`, `1a`, `"1"`, `true`, ` 1 `,
}

func all() map[string]string {
	all := map[string]string{}
	for name, payload := range payloads {
		all[name] = payload
	}
	for _, n := range numbers {
		all["exp "+n] = `{"exp":` + n + `,"iat":` + n + `}`
		all["another claim "+n] = `{"a":[` + n + `],"exp":1}`
	}
	for _, depth := range []int{1, 30, 31, 32, 33, 9998, 9999, 10000, 10001} {
		for _, brackets := range []string{"[]", "{}"} {
			open, inside := brackets[:1], ""
			if open == "{" {
				open, inside = `{"a":`, "1"
			}
			name := open + " × " + strings.Repeat("|", min(depth, 40)) + string(rune('0'+depth%10))
			if len(open)*depth < 40<<10 {
				all[name] = `{"exp":1,"a":` + strings.Repeat(open, depth) + inside + strings.Repeat(brackets[1:], depth) + `}`
				all[name+", not closed"] = `{"exp":1,"a":` + strings.Repeat(open, depth)
			}
		}
	}
	return all
}

// What is read is what encoding/json reads.
func TestPayloads(t *testing.T) {
	for name, payload := range all() {
		if got, want := claims.Parse(token(payload)), oracle(token(payload)); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	got := claims.Parse(token(usual))
	if want := (claims.Claims{Expiry: time.Unix(1764127300, 0), IssuedAt: time.Unix(1764127000, 0), Subject: "5f0c7a1e-41d1-4bd5-9a3e-6a1e8d1c1a3f"}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

// What is no JWS gives nothing.
func TestTokensThatAreNone(t *testing.T) {
	b64 := base64.RawURLEncoding.EncodeToString([]byte(usual))
	for name, s := range map[string]string{
		"nothing":                "",
		"opaque":                 "rt_ABCDEFG",
		"two parts":              "a." + b64,
		"a JWE":                  "a." + b64 + ".c.d.e",
		"padding":                "a." + b64 + "=.c",
		"base64 of another kind": "a." + strings.Repeat("+/", 40) + ".c",
		"a payload too short":    "a.e.c",
		"64 KiB of dots":         strings.Repeat(".", 65<<10),
		"more than 64 KiB":       "a." + b64 + "." + strings.Repeat("c", 64<<10),
	} {
		if got := claims.Parse(s); got != (claims.Claims{}) || got != oracle(s) {
			t.Errorf("%s: %v", name, got)
		}
	}
	for name, s := range map[string]string{
		"a payload longer than usual": token(strings.Replace(usual, `"scope":"`, `"scope":"`+strings.Repeat("x ", 20<<10), 1)),
		"line breaks in base64":       "a." + b64[:40] + "\r\n" + b64[40:] + ".c",
	} {
		if got := claims.Parse(s); got.Subject == "" || got != oracle(s) {
			t.Errorf("%s: %v, want %v", name, got, oracle(s))
		}
	}
}

// A token as usual costs its subject and nothing else.
func TestAllocationsOfParse(t *testing.T) {
	for name, row := range map[string]struct {
		payload string
		most    float64
	}{
		"as usual":         {usual, 1},
		"without subject":  {strings.Replace(usual, `"sub"`, `"tub"`, 1), 0},
		"a fraction":       {`{"exp":1764127300.5}`, 0},
		"out of the usual": {strings.Replace(usual, `"scope":"`, `"scope":"`+strings.Repeat("x ", 2<<10), 1), 2},
	} {
		s := token(row.payload)
		if n := testing.AllocsPerRun(1000, func() { claims.Parse(s) }); n > row.most {
			t.Errorf("%s: %v, want %v", name, n, row.most)
		}
	}
}

// pieces are what JSON is made of, and what spoils it.
var pieces = []string{
	`{`, `}`, `[`, `]`, `,`, `:`, ` `, "\n", `"exp"`, `"iat"`, `"sub"`, `"EXP"`, `"a"`, `"\u0065xp"`, `"s\u0075b"`, `""`, `"\\"`, `"\/"`, `"\ud800"`, `"Зоя"`, "\"\xff\"",
	`1`, `0`, `-1`, `1e9`, `1.5`, `1764127300`, `1e300`, `1e400`, `01`, `.`, `-`, `e`, `+`, `true`, `false`, `null`, `nul`, `"`, `\`, "\x00", "\x7f",
	`"exp":1`, `"exp":"1"`, `"iat":1764127000`, `"sub":"ada"`, `"a":{"exp":2}`, `"a":[1,{"sub":"eve"}]`, `,"exp":2`, `,"sub":null`, `{}`, `[]`,
}

// payload makes an object of members, most of them good, and spoils it
// now and then.
func payload(r *rand.Rand) string {
	piece := func() string { return pieces[r.IntN(len(pieces))] }
	var b strings.Builder
	b.WriteString("{")
	for i := range r.IntN(6) {
		if i > 0 {
			b.WriteString(",")
		}
		switch r.IntN(8) {
		case 0:
			b.WriteString(piece())
		case 1:
			b.WriteString(`"exp":` + piece())
		case 2:
			b.WriteString(`"sub":` + piece())
		case 3:
			b.WriteString(`"a":[` + piece() + `,` + piece() + `]`)
		default:
			b.WriteString([]string{`"exp":`, `"iat":`, `"sub":`, `"a":`}[r.IntN(4)] + []string{`1`, `1.25e3`, `"ada"`, `{"exp":3}`, `[true,null]`, `"\u00e9"`, `-0`}[r.IntN(7)])
		}
	}
	b.WriteString("}")
	s := []byte(b.String())
	for range max(0, r.IntN(4)-2) {
		at := r.IntN(len(s) + 1)
		switch r.IntN(3) {
		case 0:
			s = slices.Insert(s, at, []byte(piece())...)
		case 1:
			s = slices.Delete(s, min(at, len(s)), min(at+1+r.IntN(2), len(s)))
		default:
			s = slices.Insert(s, at, byte(r.UintN(256)))
		}
	}
	return string(s)
}

// The same for payloads that are made up, of which about half are JSON.
func TestMadeUpPayloads(t *testing.T) {
	good, seed := 0, rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	const n = 50_000
	for range n {
		p := payload(r)
		if got, want := claims.Parse(token(p)), oracle(token(p)); got != want {
			t.Fatalf("%q: %v, want %v", p, got, want)
		}
		if json.Valid([]byte(p)) {
			good++
		}
	}
	if good < n/4 || good > 3*n/4 {
		t.Errorf("%d of %d are JSON, seed %d: this proves little", good, n, seed)
	}
}

// FuzzParse: the scanner and encoding/json never differ.
func FuzzParse(f *testing.F) {
	for _, payload := range all() {
		if len(payload) < 1<<10 {
			f.Add(payload)
		}
	}
	f.Fuzz(func(t *testing.T, payload string) {
		s := token(payload)
		if got, want := claims.Parse(s), oracle(s); got != want {
			t.Errorf("%q: %v, want %v", payload, got, want)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	s := token(usual)
	for name, parse := range map[string]func(string) claims.Claims{"scanner": claims.Parse, "encoding/json": oracle} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				parse(s)
			}
		})
	}
}
