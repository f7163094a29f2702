package transport_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/transport"
)

// wantSound checks what holds of every result of a refresh: a Token that can be
// sent, or an error of the set that prints nothing of the answer.
func wantSound(t *testing.T, got tokencache.Token, err error) {
	t.Helper()
	if err != nil {
		var e *tokencache.Error
		if !errors.As(err, &e) || !e.Reason.Known() || !got.IsZero() {
			t.Fatalf("%v, %v", got, err)
		}
		if e.Code != "" && (len(e.Code) > 64 || strings.ContainsAny(e.Code, " \r\n\t\x00\x1b<>\"'")) {
			t.Fatalf("code %q", e.Code)
		}
		for i := range len(err.Error()) {
			if c := err.Error()[i]; c < ' ' || c > '~' {
				t.Fatalf("%q", err)
			}
		}
		return
	}
	if err := got.SetHeader(http.Header{}); err != nil {
		t.Fatalf("a Token that cannot be sent: %v", err)
	}
	for _, token := range []string{got.Access(), got.Refresh()} {
		if len(token) > 64<<10 || token == "null" || token == "undefined" || strings.ContainsAny(token, "\r\n\x00\x7f") {
			t.Fatalf("token %q", token)
		}
	}
	for _, end := range []time.Time{got.Expiry(), got.RefreshExpiry()} {
		// An exp of a JWT is at most the year 2100 or so; what is said here, ten years.
		if !end.IsZero() && end.After(time.Now().AddDate(200, 0, 0)) {
			t.Fatalf("ends %v", end)
		}
	}
}

// B79, T-B1 to T-B8, T-B18
func FuzzMembers(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"a","refresh_token":"r","expires_in":3600,"token_type":"Bearer"}`,
		`{"access_token":"a","expires_in":"3599.7","refresh_token":null}`, `{"access_token":"a","expires_in":1e999}`,
		`{"access_token":"a","access_token":"b"}`, `{"Access_Token":"a"}`, `{"error":"invalid_grant"}`, `{"error":{"a":[1,{}]}}`,
		`{"error":"\u001b[31m"}`, "\ufeff{}", `{"access_token":"a"} x`, `[`, `{"a":`, "", "<html>", `{"access_token":"a\r\nb"}`,
		`{"access_token":"eyJ.eyJleHAiOjF9.x","id_token":"x.eyJzdWIiOiJhIn0.y"}`, `{"a":1,"a":2,"access_token":"x"}`,
	} {
		f.Add(200, body)
		f.Add(400, body)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			t.Skip("no server can answer so")
		}
		for _, refresh := range []func() (tokencache.Token, error){
			func() (tokencache.Token, error) { return grantAnswer(t, transport.TokenEndpoint{}, status, body) },
			func() (tokencache.Token, error) { return restore(t, transport.CookieEndpoint{}, "r", status, body) },
		} {
			got, err := refresh()
			wantSound(t, got, err)
			if err == nil && status >= 300 {
				t.Error("a failure is taken for a success")
			}
			var e *tokencache.Error
			if errors.As(err, &e) && e.Reason.Ends() && (status >= 500 || status == 429 || status == 408) {
				t.Errorf("%d ends the session", status)
			}
			// It does not depend on the spelling of white space around it.
			again, err2 := grantAnswer(t, transport.TokenEndpoint{}, status, " \n"+body+"\t ")
			first, err1 := grantAnswer(t, transport.TokenEndpoint{}, status, body)
			if fmt.Sprint(err1) != fmt.Sprint(err2) || again.Access() != first.Access() || again.Refresh() != first.Refresh() {
				t.Errorf("%v and %v", err1, err2)
			}
		}
	})
}

// T-B10: RFC 9110 section 10.2.3
func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{"7", " 7 ", "-7", "+7", "0", "1e3", "7.5", "99999999999999999999", "9223372036854775807", "", "soon",
		"Fri, 31 Dec 1999 23:59:59 GMT", "Friday, 31-Dec-99 23:59:59 GMT", "Fri Dec 31 23:59:59 1999", "Fri, 31 Dec 9999 23:59:59 GMT"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		e := &transport.TokenEndpoint{URL: "https://as.example/", Base: baseFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {v}}, Body: http.NoBody}, nil
		})}
		_, err := e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "r"}))
		got := wantReason(t, err, reason.RateLimited).RetryAfter
		if got < 0 {
			t.Errorf("%q is %v", v, got)
		}
		if digits := strings.Trim(v, " "); digits != "" && strings.Trim(digits, "0123456789") == "" {
			digits = strings.TrimLeft(digits, "0")
			if want := len(digits); (got == 0) != (want == 0) || want > 10 && got < 50*365*24*time.Hour {
				t.Errorf("%q is %v", v, got)
			}
		}
	})
}

// T-B22
func FuzzSetCookie(f *testing.F) {
	for _, c := range []string{"refreshToken=r; Path=/", "accessToken=a; Max-Age=60", "refreshToken=; Max-Age=0", "refreshToken=r; Expires=x",
		`refreshToken="r"`, "refreshToken=r; Max-Age=99999999999999999999", "refreshToken", "=", ";;", "refreshToken=\x00", "REFRESHTOKEN=x"} {
		f.Add(c, "refreshToken=second")
		f.Add("accessToken=a", c)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		got, err := restore(t, transport.CookieEndpoint{}, "r", 200, `{"accessToken":"a"}`, first, second)
		if err != nil {
			t.Fatalf("cookies cost the answer: %v", err) // B79
		}
		wantSound(t, got, err)
		equal(t, "access token", got.Access(), "a")
		if r := got.Refresh(); r != "" && !strings.Contains(first+second, r) {
			t.Errorf("refresh token %q of %q and %q", r, first, second)
		}
		// A foreign cookie changes nothing.
		again, _ := restore(t, transport.CookieEndpoint{}, "r", 200, `{"accessToken":"a"}`, first, "foreign=x; Path=/", second, "other=y")
		equal(t, "refresh token beside foreign cookies", again.Refresh(), got.Refresh())
		// What is sent back is one cookie.
		if got.Refresh() == "" {
			return
		}
		e := &transport.CookieEndpoint{URL: "https://as.example/", Base: baseFunc(func(req *http.Request) (*http.Response, error) {
			if lines := req.Header["Cookie"]; len(lines) != 1 || strings.ContainsAny(lines[0], ";\r\n\x00") {
				t.Errorf("Cookie: %q", lines)
			}
			return &http.Response{StatusCode: 401, Body: http.NoBody}, nil
		})}
		e.Refresh(t.Context(), got)
	})
}
