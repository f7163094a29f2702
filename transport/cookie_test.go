package transport_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/transport"
)

// restore refreshes at a backend that answers like this.
func restore(t *testing.T, e transport.CookieEndpoint, spent string, status int, body string, cookies ...string) (tokencache.Token, error) {
	t.Helper()
	e.URL = "https://api.example/auth/restore-token"
	e.Base = baseFunc(func(*http.Request) (*http.Response, error) {
		header := http.Header{"Set-Cookie": cookies}
		return &http.Response{StatusCode: status, Header: header, Body: unrewindable([]byte(body))}, nil
	})
	return e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Access: "old", Refresh: spent}))
}

// T-A7, T-A9, Envoy#40228: the one cookie and no other, no body and no token in
// the URL.
func TestOnlyTheRefreshCookieIsSent(t *testing.T) {
	as := newCounted(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"accessToken":"a"}`)) })
	e := &transport.CookieEndpoint{URL: as.URL + "/auth/restore-token", LogoutURL: as.URL + "/auth/logout", Base: as.Client().Transport}
	token := tokencache.NewToken(tokencache.TokenFields{Access: "access", Refresh: "s%3Ar+/= .x"})
	if _, err := e.Refresh(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if err := e.Revoke(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	for i, path := range []string{"/auth/restore-token", "/auth/logout"} {
		r := as.requests[i]
		equal(t, "request", r.Method+" "+r.RequestURI, "POST "+path)
		equal(t, "Cookie", strings.Join(r.Header["Cookie"], "|"), "refreshToken=s%3Ar+/= .x")
		equal(t, "Authorization", r.Header.Get("Authorization"), "")
		equal(t, "Content-Length", r.ContentLength, 0)
	}
}

// T-B22: only the two cookies that are named are read, as a browser would.
func TestWhatIsReadOfTheCookies(t *testing.T) {
	for _, test := range []struct {
		name     string
		endpoint transport.CookieEndpoint
		body     string
		cookies  []string
		want     string // access and refresh token
	}{
		{"both", transport.CookieEndpoint{}, `{"accessToken":"a"}`, []string{"accessToken=a; Path=/", "refreshToken=r; HttpOnly"}, "a r"},
		{"with foreign ones", transport.CookieEndpoint{}, `{"accessToken":"a"}`,
			[]string{"session=s", "RefreshToken=x", "refreshToken=r; Domain=evil.example; Path=/x", "__Host-refreshToken=y"}, "a r"},
		{"nothing was rotated", transport.CookieEndpoint{}, `{"accessToken":"a"}`, nil, "a "},
		{"the access token only as a cookie", transport.CookieEndpoint{}, `{}`, []string{"accessToken=a"}, "a "},
		{"the access token only as a cookie, in HTML", transport.CookieEndpoint{}, `<p>Hello`, []string{"accessToken=a"}, "a "},
		{"an access token that is none in JSON", transport.CookieEndpoint{}, `{"accessToken":"undefined"}`, []string{"accessToken=a"}, "a "},
		{"JSON first", transport.CookieEndpoint{}, `{"accessToken":"json"}`, []string{"accessToken=cookie"}, "json "},
		{"other names", transport.CookieEndpoint{AccessCookie: "at", RefreshCookie: "rt", AccessMember: "jwt"},
			`{"jwt":"a","accessToken":"x"}`, []string{"rt=r", "refreshToken=x"}, "a r"},
		{"a cookie that is deleted by its age", transport.CookieEndpoint{}, `{"accessToken":"a"}`, []string{"refreshToken=r; Max-Age=0"}, "a "},
		{"a cookie that is deleted by its end", transport.CookieEndpoint{}, `{"accessToken":"a"}`,
			[]string{"refreshToken=r; Expires=Thu, 01 Jan 1970 00:00:00 GMT"}, "a "},
		{"an empty cookie", transport.CookieEndpoint{}, `{"accessToken":"a"}`, []string{"refreshToken="}, "a "},
		{"set and deleted", transport.CookieEndpoint{}, `{"accessToken":"a"}`, []string{"refreshToken=r", "refreshToken=; Max-Age=0"}, "a "},
		{"deleted and set", transport.CookieEndpoint{}, `{"accessToken":"a"}`, []string{"refreshToken=; Max-Age=0", "refreshToken=r"}, "a r"},
		{"set, and cleared where it used to be", transport.CookieEndpoint{}, `{"accessToken":"a"}`,
			[]string{"refreshToken=r; Path=/", "refreshToken=; Path=/old; Max-Age=0", "refreshToken=; Domain=h; Path=/; Max-Age=0"}, "a r"},
		{"set twice", transport.CookieEndpoint{}, `{"accessToken":"a"}`, []string{"refreshToken=r1", "refreshToken=r2"}, "a r2"},
		{"a refresh token of bytes that no token has", transport.CookieEndpoint{}, `{"accessToken":"a"}`, []string{"refreshToken=tökén"}, "a "},
		{"a word for nothing", transport.CookieEndpoint{}, `{"accessToken":"a"}`, []string{"refreshToken=null"}, "a "},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := restore(t, test.endpoint, "old", 200, test.body, test.cookies...)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "tokens", got.Access()+" "+got.Refresh(), test.want)
		})
	}
}

// B26: the end of the tokens is that of their cookies, but a cookie may outlive
// the JWT in it.
func TestWhenTheTokensEnd(t *testing.T) {
	near := func(what string, got, want time.Time) {
		t.Helper()
		if d := got.Sub(want).Abs(); d > time.Minute {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	now := time.Now()
	got, err := restore(t, transport.CookieEndpoint{}, "old", 200, `{"accessToken":"a"}`,
		"accessToken=a; Max-Age=3600", "refreshToken=r; Expires="+now.Add(48*time.Hour).UTC().Format(http.TimeFormat))
	if err != nil {
		t.Fatal(err)
	}
	near("the access token ends", got.Expiry(), now.Add(time.Hour))
	near("the refresh token ends", got.RefreshExpiry(), now.Add(48*time.Hour))

	got, _ = restore(t, transport.CookieEndpoint{}, "old", 200, `{"accessToken":"a"}`, "accessToken=b; Max-Age=3600", "refreshToken=r; Max-Age=9999999999999")
	equal(t, "the end of a token is that of another's cookie", got.Expiry().IsZero(), true)
	if d := got.RefreshExpiry().Sub(now); d > 11*365*24*time.Hour {
		t.Errorf("the refresh token lives for %v", d)
	}

	as := authtest.NewAS(authtest.ASConfig{AccessTTL: 5 * time.Minute})
	defer as.Close()
	jwt := as.SignIn("ann").Access()
	got, _ = restore(t, transport.CookieEndpoint{}, "old", 200, `{"accessToken":"`+jwt+`"}`, "accessToken="+jwt+"; Max-Age=2592000")
	near("a JWT ends", got.Expiry(), now.Add(5*time.Minute))
}

// B33, T-B2: what proves that the session is dead can be said.
func TestWhatIsDeadAtACookieBackend(t *testing.T) {
	for _, test := range []struct {
		name   string
		dead   []string
		status int
		body   string
		want   reason.Reason
	}{
		{"401", nil, 401, `{"message":"Unauthorized","statusCode":401}`, reason.Refused},
		{"403 with nothing", nil, 403, ``, reason.Refused},
		{"403 where only 401 is dead", []string{"401"}, 403, ``, reason.Unrecognised},
		{"401 where none is", []string{}, 401, ``, reason.Unrecognised},
		{"a code with its status", []string{"400 expired"}, 400, `{"error":"expired"}`, reason.Refused},
		{"the code with another status", []string{"400 expired"}, 401, `{"error":"expired"}`, reason.Unrecognised},
		{"a code in a 200", []string{"expired"}, 200, `{"error":"expired"}`, reason.Refused},
		{"a code in half of a 200", []string{"expired"}, 200, `{"error":"expired","mess`, reason.Malformed}, // T-B1
		{"an unknown code in a 200", nil, 200, `{"error":"expired"}`, reason.Unrecognised},
		{"a server that fails with a code", []string{"expired"}, 500, `{"error":"expired"}`, reason.Unavailable},
		{"400", nil, 400, ``, reason.Unrecognised},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := restore(t, transport.CookieEndpoint{Dead: test.dead}, "old", test.status, test.body)
			wantReason(t, err, test.want)
		})
	}
}

// B9: what would be another cookie is not sent.
func TestARefreshTokenThatIsNoCookieIsNotSent(t *testing.T) {
	for _, token := range []string{"a; admin=1", "a\r\nX: y", "a\x00", `a"`, `"`, `"a"b"`, `"a;b"`, `"a`} {
		_, err := restore(t, transport.CookieEndpoint{}, token, 200, `{"accessToken":"a"}`)
		if e := wantReason(t, err, reason.Unrecognised); !e.Unsent || strings.Contains(err.Error(), token) {
			t.Errorf("%v", err)
		}
	}
}

// T-A7, B9: quotes are a part of the value (RFC 6265 section 4.1.1), and a browser
// sends them back (section 5.4).
func TestAQuotedCookieGoesBackInItsQuotes(t *testing.T) {
	as := newCounted(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", `refreshToken="two words, quoted"; HttpOnly`)
		w.Write([]byte(`{"accessToken":"a"}`))
	})
	e := &transport.CookieEndpoint{URL: as.URL, Base: as.Client().Transport}
	token := tokencache.NewToken(tokencache.TokenFields{Refresh: "first"})
	for range 2 {
		var err error
		if token, err = e.Refresh(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "Cookie", as.requests[1].Header.Get("Cookie"), `refreshToken="two words, quoted"`)
}

// A backend that no longer knows the session has nothing left to end.
func TestLogoutOfAnUnknownSessionIsDone(t *testing.T) {
	as := newCounted(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	e := &transport.CookieEndpoint{LogoutURL: as.URL, Base: as.Client().Transport}
	if err := e.Revoke(t.Context(), tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "r"})); err != nil {
		t.Error(err)
	}
	if err := e.Revoke(t.Context(), tokencache.NewToken(tokencache.TokenFields{Access: "a"})); err != nil {
		t.Error(err)
	}
	equal(t, "requests", as.count(), 1)
}
