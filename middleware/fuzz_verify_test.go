package middleware_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// FuzzVerify: of what is signed, and of what is nearly signed, nothing is
// accepted that golang-jwt would not accept, nor that a reading of the RFCs of
// our own finds wrong; and what golang-jwt accepts is refused for one of the few
// reasons that we add (T-E1, T-E3 to T-E5, T-E7, T-E8, T-E10, T-E11).
func FuzzVerify(f *testing.F) {
	const hs = `{"alg":"HS256","typ":"JWT"}`
	for _, payload := range []string{
		`{"iss":"i","aud":"api","exp":4000000000,"sub":"ada"}`, `{"iss":"i","aud":["x","api"],"exp":4000000000.5,"iat":1,"nbf":1}`,
		`{"iss":"i","aud":"api","exp":1}`, `{"iss":"i","aud":"api","exp":1,"exp":4000000000}`, `{"iss":"i","aud":"api","exp":1,"EXP":4000000000}`,
		`{"iss":"i","aud":"api","exp":"4000000000"}`, `{"iss":"i","aud":"api","exp":1e400}`, `{"iss":"i","aud":"api","exp":9223372036854775807}`,
		`{"iss":"i","aud":"api","exp":4102444800}`, `{"iss":"i","aud":"api","exp":4000000000,"iat":4000000000}`, `{"iss":"i","aud":"api","exp":4000000000,"nbf":4000000000}`,
		`{"iss":"i","aud":"api","exp":4000000000,"iat":10000000000}`, `{"iss":"i","aud":"api","exp":4000000000,"iat":"1"}`,
		`{"iss":"i","aud":"api","exp":null}`, `{"iss":"i","aud":"api","exp":[4000000000]}`, `{"iss":"i","aud":"openid api","exp":4000000000}`,
		`{"iss":"i","aud":"api","exp":4000000000,"token_use":"refresh"}`, `{"iss":"i","aud":"api","exp":4000000000,"typ":"ID"}`, `{"\u0069ss":"i","aud":"api","e\u0078p":4000000000}`,
		`{"iss":"i","aud":"api","exp":4000000000,"a":{"exp":1,"exp":2}}`, `{"iss":"i","aud":"api","exp":4000000000}{}`, `[]`, `null`, "",
	} {
		f.Add(hs, payload, "")
	}
	good := `{"iss":"i","aud":"api","exp":4000000000}`
	for _, header := range []string{
		`{"alg":"HS256"}`, `{"alg":"none"}`, `{"alg":"RS256"}`, `{"alg":"HS256","crit":["exp"],"exp":1}`, `{"alg":"HS256","typ":"at+jwt","kid":"../x"}`,
		`{"alg":"HS256","typ":"APPLICATION/AT+JWT"}`, `{"alg":"HS256","typ":"logout+jwt"}`, `{"alg":"HS256","typ":null}`, `{"alg":"HS256","typ":7}`,
		`{"alg":"HS256","alg":"none"}`, `{"ALG":"HS256"}`, `{"alg":["HS256"]}`, `{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`, `{"alg":"HS256","b64":false}`,
	} {
		f.Add(header, good, "")
	}
	for _, tail := range []string{"A", "=", ".", "..", ".a.b", "\t", "~", "!"} {
		f.Add(hs, good, tail)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	ours := taker(&middleware.Verifier{Algorithms: []string{"HS256"}, Key: secret, Issuer: "i", Audience: "api"})
	confused := taker(&middleware.Verifier{Algorithms: []string{"HS256", "RS256"}, Key: &key.PublicKey})
	f.Fuzz(func(t *testing.T, header, payload, tail string) {
		token := raw(t, header, payload) + tail
		if rest, odd := strings.CutPrefix(tail, "!"); odd { // the last letter has two bits that say nothing
			token = strings.TrimSuffix(token, tail)
			token = token[:len(token)-1] + string(rune(token[len(token)-1]+1)) + rest
		}
		if strings.ContainsFunc(tail, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`",;\`, c) }) {
			t.Skip("no cookie holds it")
		}
		accepted, theirs, why := ours(token), library(token) == nil, wrong(token)
		switch {
		case accepted && !theirs:
			t.Errorf("golang-jwt refuses %s of %s: %v", payload, header, library(token))
		case accepted && why != "":
			t.Errorf("%s of %s is accepted in spite of %s", payload, header, why)
		case !accepted && theirs && why == "":
			t.Errorf("%s of %s is refused, and nothing is wrong with it", payload, header)
		}
		if confused(token) {
			t.Errorf("%s of %s, which no private key has signed, is accepted", payload, header)
		}
	})
}

// taker tells whether a Handler serves who shows the access token and nothing
// else.
func taker(v *middleware.Verifier) func(token string) bool {
	a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Verifier: v, Cookies: middleware.Cookies{InsecureNoTLS: true}}
	ran := false
	h := a.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
	return func(token string) bool {
		ran = false
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Cookie"] = []string{"access=" + token}
		h.ServeHTTP(httptest.NewRecorder(), r)
		return ran
	}
}

// library asks golang-jwt, as strict as it can be.
func library(token string) error {
	p := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding(),
		jwt.WithIssuer("i"), jwt.WithAudience("api"), jwt.WithLeeway(30*time.Second))
	_, err := p.ParseWithClaims(token, jwt.MapClaims{}, func(*jwt.Token) (any, error) { return secret, nil })
	return err
}

// wrong returns what is wrong with a token, read with nothing but the standard
// library: RFC 7515 sections 4.1.11 and 5.2, RFC 7519 sections 4 and 7.2, RFC
// 8725 section 3.11, and what we want of exp.
func wrong(token string) string {
	parts := strings.Split(token, ".")
	if len(token) > 64<<10 || len(parts) != 3 {
		return "its form"
	}
	var bytesOf [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") {
			return "its encoding"
		}
		bytesOf[i] = b
	}
	mac := hmac.New(sha256.New, secret)
	io.WriteString(mac, parts[0]+"."+parts[1])
	if !hmac.Equal(mac.Sum(nil), bytesOf[2]) {
		return "its signature"
	}
	var header, claims map[string]any
	if json.Unmarshal(bytesOf[0], &header) != nil || json.Unmarshal(bytesOf[1], &claims) != nil {
		return "its JSON"
	}
	if again(bytesOf[0]) || again(bytesOf[1]) {
		return "a member that is there twice"
	}
	if _, critical := header["crit"]; critical || header["alg"] != "HS256" {
		return "its header"
	}
	if typ, is := header["typ"]; is && typ != nil {
		name, _ := typ.(string)
		if name = strings.TrimPrefix(strings.ToLower(name), "application/"); name != "jwt" && name != "at+jwt" {
			return "its type"
		}
	}
	now := float64(time.Now().Unix())
	if exp, ok := claims["exp"].(float64); !ok || exp <= now || exp >= 4102444800 { // there is no refresh here
		return "its exp"
	}
	for _, name := range []string{"iat", "nbf"} {
		if at, ok := claims[name].(float64); ok && at > now+30 {
			return "its " + name
		}
	}
	for _, name := range []string{"token_use", "typ", "token_type"} {
		use, _ := claims[name].(string)
		if slices.Contains([]string{"refresh", "refresh_token", "offline", "id", "id_token"}, strings.ToLower(use)) {
			return "its use"
		}
	}
	return ""
}

// again reports whether a name of the outermost object is there twice.
func again(object []byte) bool {
	seen, depth, name := map[string]bool{}, 0, true
	dec := json.NewDecoder(bytes.NewReader(object))
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
			} else {
				depth--
			}
			if depth == 1 { // a value has ended, or the object begins
				name = true
			}
			continue
		case string:
			if depth == 1 && name {
				if seen[v] {
					return true
				}
				seen[v], name = true, false
				continue
			}
		}
		if depth == 1 {
			name = true
		}
	}
}
