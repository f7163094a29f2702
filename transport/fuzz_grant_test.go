package transport_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/transport"
)

// FuzzGrant: an answer of the token endpoint that is one JSON object, with each
// name once, means what encoding/json reads of it into a map: a good access token
// is never thrown away, and nothing else is ever taken for one (B26, B79, T-B1 to
// T-B7, T-A5).
func FuzzGrant(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"a","refresh_token":"r","expires_in":3600,"token_type":"Bearer"}`, `{"access_token":"a","expires_in":"3599.7","token_type":"bEARER"}`,
		`{"access_token":"a","expires_in":1e400}`, `{"access_token":"a","expires_in":-5,"refresh_token":null}`, `{"access_token":"a","expires_in":{},"refresh_token":7}`,
		`{"access_token":"a","token_type":"N_A"}`, `{"access_token":"a","token_type":null}`, `{"access_token":"a","token_type":7}`, `{"access_token":"a","token_type":""}`,
		`{"access_token":"undefined"}`, `{"access_token":"a b"}`, `{"access_token":"\u0061"}`, `{"access_token":"a\r\nb"}`, `{"access_token":["a"]}`, `{"Access_Token":"a"}`,
		`{"access_token":"a","error":"x"}`, `{"error":"invalid_grant","error_description":"\u001b[31m"}`, `{"error_code":"invalid_grant"}`, `{"error":{"a":1}}`,
		`{"access_token":"a","id_token":"x.eyJzdWIiOiJhIn0.y"}`, `{"access_token":"a"}x`, "\ufeff{}", `{"access_token":"a","refresh_token":"a b"}`, `[]`, `null`, ``,
		`{"access_token":"a","refresh_token":"undefined"}`, `{"access_token":"a","a":{"access_token":7}}`,
	} {
		f.Add(body, 200)
	}
	f.Add(`{"access_token":"a"}`, 299)
	f.Add(`{"access_token":"a"}`, 300)
	f.Add(`{"access_token":"a"}`, 400)
	f.Fuzz(func(t *testing.T, body string, status int) {
		if status < 200 || status > 599 {
			t.Skip("no server can answer so")
		}
		got, err := grantAnswer(t, transport.TokenEndpoint{}, status, body)
		wantSound(t, got, err)
		var m map[string]any
		dec := json.NewDecoder(strings.NewReader(body))
		dec.UseNumber()
		if dec.Decode(&m) != nil || m == nil || !json.Valid([]byte(body)) {
			if err == nil {
				t.Fatalf("%q is taken for an answer", body)
			}
			return
		}
		if again([]byte(body)) {
			return // see FuzzMembers
		}
		access, _ := m["access_token"].(string)
		typ, _ := m["token_type"].(string)
		usable := tokenLike(access, '!') && (typ == "" || strings.EqualFold(typ, "Bearer"))
		if (err == nil) != (usable && status < 300) {
			t.Fatalf("%d %s: %v, %v", status, body, got, err)
		}
		if err != nil {
			return
		}
		equal(t, "access token", got.Access(), access)
		if refresh, _ := m["refresh_token"].(string); tokenLike(refresh, ' ') {
			equal(t, "refresh token", got.Refresh(), refresh)
		} else {
			equal(t, "refresh token", got.Refresh(), "")
		}
		if seconds, ok := m["expires_in"].(json.Number); ok {
			if n, err := seconds.Int64(); err == nil && n > 0 && n < 1<<20 {
				if off := time.Until(got.Expiry()) - time.Duration(n)*time.Second; off < -time.Minute || off > time.Minute {
					t.Errorf("%v is off by %v", seconds, off)
				}
			}
		}
	})
}

// tokenLike reports whether all letters are visible ASCII from the least on, and
// the whole is not what some program wrote for nothing.
func tokenLike(s string, least byte) bool {
	for i := range len(s) {
		if s[i] < least || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= 64<<10 && s != "null" && s != "undefined"
}

// again reports whether a name of the outermost object is there twice.
func again(object []byte) bool {
	seen := map[string]bool{}
	dec := json.NewDecoder(strings.NewReader(string(object)))
	dec.Token()
	for dec.More() {
		name, _ := dec.Token()
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return false
		}
		if seen[name.(string)] {
			return true
		}
		seen[name.(string)] = true
	}
	return false
}
