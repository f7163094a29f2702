package transport_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/transport"
)

const none = reason.Reason("") // there is no error

// failures are the causes of B32 that need no Store. kept is whether the
// refresh token is still good at the authorization server.
var failures = []struct {
	name          string
	fault         authtest.Fault
	grant, cookie reason.Reason
	kept          bool
}{
	{"reset", authtest.Cut, reason.Network, reason.Network, true},
	{"reset in the middle of the answer", authtest.CutBody, reason.Network, reason.Network, false},
	{"no answer in time", authtest.Hang, reason.Timeout, reason.Timeout, true},
	{"an answer that drips", authtest.Drip(50 * time.Millisecond), reason.Timeout, reason.Timeout, false},
	{"408", authtest.Answer(408, nil, ""), reason.Unavailable, reason.Unavailable, true},
	{"425", authtest.Answer(425, nil, ""), reason.Unavailable, reason.Unavailable, true},
	{"429", authtest.Answer(429, nil, ""), reason.RateLimited, reason.RateLimited, true},
	{"429 with seconds", authtest.RetryAfter(429, "7"), reason.RateLimited, reason.RateLimited, true},
	{"500", authtest.Answer(500, nil, ""), reason.Unavailable, reason.Unavailable, true},
	{"500 that says invalid_grant", authtest.Answer(500, nil, `{"error":"invalid_grant"}`), reason.Unavailable, reason.Unavailable, true},
	{"502", authtest.Answer(502, nil, "<h1>Bad gateway"), reason.Unavailable, reason.Unavailable, true},
	{"503", authtest.RetryAfter(503, "1"), reason.Unavailable, reason.Unavailable, true},
	{"504", authtest.Answer(504, nil, ""), reason.Unavailable, reason.Unavailable, true},
	{"200 with HTML", authtest.HTML, reason.Malformed, reason.Malformed, true},
	{"200 with nothing", authtest.Empty, reason.Malformed, reason.Malformed, true},
	{"204", authtest.Answer(204, nil, ""), reason.Malformed, reason.Malformed, true},
	{"200 without access_token", authtest.NoAccessToken, reason.Malformed, reason.Malformed, true},
	{"200 with half of the JSON", authtest.Truncate, reason.Malformed, none, false}, // the cookie has it whole
	{"200 with 10 MiB of JSON", authtest.Huge, reason.Malformed, reason.Malformed, true},
	{"200 with 10 MiB in 10 KiB of gzip", authtest.GzipBomb, reason.Malformed, reason.Malformed, true},
	{"200 in gzip", gzipped, none, none, true},
	{"a redirect", authtest.Redirect("http://127.0.0.1:1/"), reason.Endpoint, reason.Endpoint, true},
	{"invalid_grant", authtest.Answer(400, nil, `{"error":"invalid_grant"}`), reason.Refused, reason.Unrecognised, true},
	{"200 that says invalid_grant", authtest.Answer(200, nil, `{"error":"invalid_grant"}`), reason.Refused, reason.Unrecognised, true},
	{"invalid_client", authtest.Answer(401, nil, `{"error":"invalid_client"}`), reason.ClientRefused, reason.Refused, true},
	{"unauthorized_client", authtest.Answer(400, nil, `{"error":"unauthorized_client"}`), reason.ClientRefused, reason.ClientRefused, true},
	{"invalid_request", authtest.Answer(400, nil, `{"error":"invalid_request"}`), reason.Unrecognised, reason.Unrecognised, true},
	{"400 without a code", authtest.Answer(400, nil, ""), reason.Unrecognised, reason.Unrecognised, true},
	{"401", authtest.Answer(401, nil, ""), reason.Unrecognised, reason.Refused, true},
	{"401 in JSON of its own", authtest.Answer(401, nil, `{"message":"no"}`), reason.Unrecognised, reason.Refused, true},
	{"403", authtest.Answer(403, nil, "<h1>Blocked"), reason.Unrecognised, reason.Refused, true},
	{"404", authtest.Answer(404, nil, "not found"), reason.Endpoint, reason.Endpoint, true},
	{"405", authtest.Answer(405, nil, ""), reason.Endpoint, reason.Endpoint, true},
}

func gzipped(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	fmt.Fprint(z, `{"access_token":"a","accessToken":"a","token_type":"Bearer"}`)
	z.Close()
}

// B32, B33, B80, T-B1, T-B2, T-B8 to T-B13
func TestEachCauseOfFailureHasItsReason(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		for _, test := range failures {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				want := map[string]reason.Reason{"grant": test.grant, "cookie": test.cookie}[s.name]
				w := newWorld(t, s, authtest.ASConfig{})
				w.coordinator.Cooldown = time.Hour
				if want == reason.Timeout {
					w.coordinator.Timeout = 200 * time.Millisecond
				}
				w.as.Fail(test.fault)
				token := w.as.SignIn("ann")
				w.as.RevokeAccess()
				_, cache := w.show(token)
				for range 3 { // shared, so that it is not asked again
					_, err := cache.Refresh(t.Context(), token)
					if want == none {
						if err != nil {
							t.Error(err)
						}
						break
					}
					e := wantReason(t, err, want)
					equal(t, "the session is over", errors.Is(err, tokencache.ErrLoginRequired), want == reason.Refused)
					equal(t, "the operator has to act", e.Reason.Misconfigured(), want == reason.Endpoint || want == reason.ClientRefused)
				}
				wantPresentations(t, w.as, 1)
				if _, changed := cache.Changed(); changed != (want == none) {
					t.Errorf("the cookies change: %v", changed)
				}
				equal(t, "the refresh token is alive", w.as.Alive(token.Refresh()), test.kept)
			})
		}
	})
}

// B32, B36: what never reached the authorization server is no presentation.
func TestWhatIsKnownToBeUnsent(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := authtest.NewAS(authtest.ASConfig{Wire: authtest.TLS})
		t.Cleanup(as.Close)
		trusting := as.Transport()
		closed := httpListener(t)
		closed.Close()
		silent := httpListener(t)
		noNames := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no name server")
		}}
		for name, test := range map[string]struct {
			url  string
			base *http.Transport
			want reason.Reason
		}{
			"DNS":            {"https://as.example.invalid/", &http.Transport{DialContext: (&net.Dialer{Resolver: noNames}).DialContext}, reason.Network},
			"refused":        {"http://" + closed.Addr().String(), &http.Transport{}, reason.Network},
			"TLS":            {as.URL, &http.Transport{}, reason.Network},
			"TLS, too slow":  {"https://" + silent.Addr().String(), &http.Transport{TLSHandshakeTimeout: 50 * time.Millisecond}, reason.Timeout},
			"the wrong wire": {strings.Replace(as.URL, "https", "http", 1), trusting, reason.Unrecognised}, // which is an answer
		} {
			t.Run(name, func(t *testing.T) {
				defer test.base.CloseIdleConnections()
				_, err := s.at(test.url, test.base).Refresh(t.Context(), as.SignIn("ann"))
				e := wantReason(t, err, test.want)
				equal(t, "unsent", e.Unsent, name != "the wrong wire")
				equal(t, "ends the session", e.Reason.Ends(), false)
			})
		}
		wantPresentations(t, as, 0)
	})
}

// B36: an idle connection was there, but turned out to be dead, and nobody
// listens any more.
func TestADeadIdleConnectionIsNoPresentation(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := authtest.NewAS(authtest.ASConfig{})
		base := &http.Transport{}
		defer base.CloseIdleConnections()
		e := s.at(map[string]string{"grant": as.TokenURL(), "cookie": as.RestoreURL()}[s.name], base)
		token, err := e.Refresh(t.Context(), as.SignIn("ann"))
		if err != nil {
			t.Fatal(err)
		}
		as.Close()
		for range 100 {
			_, err := e.Refresh(t.Context(), token)
			if e := wantReason(t, err, reason.Network); e.Unsent {
				return
			}
		}
		t.Error("a refused connection is taken for a presentation")
	})
}

func httpListener(t *testing.T) net.Listener {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// B36, T-B15: only a presentation that was not answered makes the end ambiguous.
func TestARefusalIsAmbiguousOnlyAfterAPresentationWithoutAnswer(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		for name, test := range map[string]struct {
			first authtest.Fault
			want  reason.Reason
		}{
			"the answer was lost":      {authtest.After(authtest.Cut), reason.Ambiguous},
			"no answer came in time":   {authtest.After(authtest.Hang), reason.Ambiguous},
			"it was asked to wait":     {authtest.Answer(429, nil, ""), reason.Refused},
			"it was answered with 503": {authtest.Answer(503, nil, ""), reason.Refused},
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, s, authtest.ASConfig{})
				w.coordinator.Cooldown, w.coordinator.Timeout = time.Millisecond, 200*time.Millisecond
				token := w.as.SignIn("ann")
				w.as.FailNext(1, test.first)
				_, cache := w.show(token)
				_, err := cache.Refresh(t.Context(), token)
				equal(t, "the session is over at once", errors.Is(err, tokencache.ErrLoginRequired), false)
				w.as.EndSession(token.Refresh())
				for w.as.Counts().Presentations < 2 { // until the cooldown is over
					_, err = cache.Refresh(t.Context(), token)
				}
				wantReason(t, err, test.want)
				wantPresentations(t, w.as, 2)
			})
		}
	})
}

// B35, T-B10: RFC 9110 section 10.2.3
func TestRetryAfterPausesAllSessions(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		for _, status := range []int{429, 503} {
			for name, when := range map[string]func() string{
				"in seconds": func() string { return "7" },
				"as a date":  func() string { return time.Now().Add(8 * time.Second).UTC().Format(http.TimeFormat) },
			} {
				t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
					w := newWorld(t, s, authtest.ASConfig{})
					w.as.FailNext(1, authtest.RetryAfter(status, when()))
					ann, bob := w.as.SignIn("ann"), w.as.SignIn("bob")
					_, err := w.coordinator.Refresh(t.Context(), ann)
					var e *tokencache.Error
					if !errors.As(err, &e) || e.RetryAfter < 6*time.Second || e.RetryAfter > 8*time.Second {
						t.Errorf("%+v", err)
					}
					_, err = w.coordinator.Refresh(t.Context(), bob)
					wantReason(t, err, reason.RateLimited)
					wantPresentations(t, w.as, 1)
				})
			}
		}
	})
}

// grantAnswer refreshes at an authorization server that answers like this.
func grantAnswer(t *testing.T, e transport.TokenEndpoint, status int, body string) (tokencache.Token, error) {
	t.Helper()
	e.URL = "https://as.example/token"
	e.Base = baseFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: unrewindable([]byte(body))}, nil
	})
	return e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Access: "old", Refresh: "spent"}))
}

// B26, B79, T-B5, T-B6: by now the old token is spent, so that nothing but the
// access token itself may cost the answer.
func TestAGoodAccessTokenIsNeverThrownAway(t *testing.T) {
	const never, year = time.Duration(0), 365 * 24 * time.Hour
	for _, test := range []struct {
		name, members string
		refresh       string
		expiresIn     time.Duration
	}{
		{"all as it should be", `"token_type":"Bearer","expires_in":3600,"refresh_token":"r"`, "r", time.Hour},
		{"a string for a number", `"expires_in":"3600"`, "", time.Hour},
		{"a fraction", `"expires_in":3599.7`, "", time.Hour},
		{"a number of a long time", `"expires_in":1e20`, "", 10 * year},
		{"a number past all floats", `"expires_in":1e999`, "", 10 * year},
		{"null", `"expires_in":null`, "", never},
		{"no lifetime", `"x":1`, "", never},
		{"a negative lifetime", `"expires_in":-5`, "", never},
		{"no time at all", `"expires_in":0`, "", never},
		{"a word", `"expires_in":"soon"`, "", never},
		{"NaN", `"expires_in":"NaN"`, "", never},
		{"an object", `"expires_in":{"seconds":3600}`, "", never},
		{"unknown members", `"foo":{"bar":[1,2]},"scope":null,"id_token":"x.y.z"`, "", never},
		{"an empty refresh token", `"refresh_token":""`, "", never},
		{"a null refresh token", `"refresh_token":null`, "", never},
		{"a refresh token that is a number", `"refresh_token":7`, "", never},
		{"a word for no refresh token", `"refresh_token":"undefined"`, "", never},
		{"a refresh token with a line break", `"refresh_token":"a\r\nb"`, "", never},
		{"a refresh token of 100 KiB", `"refresh_token":"` + strings.Repeat("x", 100<<10) + `"`, "", never},
		{"a refresh token with a space, as RFC 6749 allows", `"refresh_token":"a b"`, "a b", never},
		{"a type in other letters", `"token_type":"BEARER"`, "", never},
		{"a type of no text", `"token_type":null`, "", never},
		{"an error that is none", `"error":null,"error_code":"0"`, "", never},
		{"an error beside it", `"error":"warning"`, "", never},
		{"a member twice", `"scope":"a","scope":"b","refresh_token":"r","expires_in":60,"expires_in":60`, "r", time.Minute},
		{"two lifetimes", `"expires_in":60,"expires_in":3600`, "", never},
		{"two refresh tokens", `"refresh_token":"a","refresh_token":"b"`, "", never},
		{"names in other letters", `"Expires_In":60,"REFRESH_TOKEN":"x","Access_Token":"y"`, "", never},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := time.Now()
			got, err := grantAnswer(t, transport.TokenEndpoint{}, 200, `{"access_token":"good",`+test.members+`}`)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "access token", got.Access(), "good")
			equal(t, "refresh token", got.Refresh(), test.refresh)
			if test.expiresIn == never {
				equal(t, "the end is unknown", got.Expiry().IsZero(), true)
			} else if d := got.Expiry().Sub(now.Add(test.expiresIn)).Abs(); d > 30*time.Second {
				t.Errorf("ends %v, want after %v", got.Expiry(), test.expiresIn)
			}
		})
	}
}

// T-B1, T-B3, T-B4, T-B7, T-A5: the stored pair stays, and nothing of the
// answer is quoted.
func TestAnAnswerWithoutAUsableAccessTokenIsMalformed(t *testing.T) {
	for name, body := range map[string]string{
		"missing":               `{"refresh_token":"canary"}`,
		"empty":                 `{"access_token":"","refresh_token":"canary"}`,
		"null":                  `{"access_token":null}`,
		"a number":              `{"access_token":7}`,
		"an object":             `{"access_token":{"canary":1}}`,
		"the word undefined":    `{"access_token":"undefined"}`,
		"the word null":         `{"access_token":"null"}`,
		"with a line break":     `{"access_token":"canary\r\nX: y"}`,
		"with NUL":              `{"access_token":"canary\u0000"}`,
		"with a space":          `{"access_token":"canary x"}`,
		"beyond ASCII":          `{"access_token":"canaryé"}`,
		"of 100 KiB":            `{"access_token":"` + strings.Repeat("canary", 20<<10) + `"}`,
		"in other letters":      `{"Access_Token":"canary","ACCESS_TOKEN":"canary"}`,
		"twice":                 `{"access_token":"canary","access_token":"canary2"}`,
		"three times":           `{"access_token":"canary","access_token":"canary2","access_token":"canary2"}`,
		"of type mac":           `{"access_token":"canary","token_type":"mac"}`,
		"of type N_A":           `{"access_token":"canary","token_type":"N_A"}`,
		"of type DPoP":          `{"access_token":"canary","token_type":"DPoP"}`,
		"after a BOM":           "\ufeff" + `{"access_token":"canary"}`,
		"with trailing garbage": `{"access_token":"canary"} canary`,
		"in two objects":        `{"access_token":"canary"}{"access_token":"canary"}`,
		"in an array":           `[{"access_token":"canary"}]`,
		"in a string":           `"canary"`,
		"cut off":               `{"access_token":"canary","refresh_token":"can`,
		"deep":                  strings.Repeat(`{"a":`, 20_000),
		"of 1 MiB and a byte":   `{"access_token":"canary","x":"` + strings.Repeat("x", 1<<20) + `"}`,
		"of 1 MiB, and a space": `{"access_token":"canary","x":"` + strings.Repeat("x", 1<<20-33) + `"}  `,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := grantAnswer(t, transport.TokenEndpoint{}, 200, body)
			wantReason(t, err, reason.Malformed)
			if !got.IsZero() || strings.Contains(fmt.Sprintf("%v %+v", err, err), "canary") {
				t.Errorf("%v", err)
			}
		})
	}
}

// B33, T-B2, T-B11, T-B18
func TestWhatIsDeadAtATokenEndpoint(t *testing.T) {
	for _, test := range []struct {
		name   string
		dead   []string
		status int
		body   string
		want   reason.Reason
		code   string
	}{
		{"the standard's", nil, 400, `{"error":"invalid_grant","error_description":"canary"}`, reason.Refused, "invalid_grant"},
		{"as a 200", []string{"bad_refresh_token"}, 200, `{"error":"bad_refresh_token"}`, reason.Refused, "bad_refresh_token"}, // GitHub
		{"by another name", nil, 400, `{"error_code":"invalid_grant"}`, reason.Refused, "invalid_grant"},
		{"in an answer that is cut off", nil, 400, `{"error":"invalid_grant","error_descr`, reason.Refused, "invalid_grant"},
		{"not in half of a success", nil, 200, `{"error":"invalid_grant","error_descr`, reason.Malformed, ""}, // T-B1
		{"not in a success with a tail", nil, 200, `{"error":"invalid_grant"}<hr>`, reason.Malformed, ""},
		{"as invalid_request", []string{"400 invalid_request"}, 400, `{"error":"invalid_request"}`, reason.Refused, "invalid_request"},
		{"as invalid_request of another status", []string{"400 invalid_request"}, 401, `{"error":"invalid_request"}`, reason.Unrecognised, "invalid_request"},
		{"unless it is listed", nil, 400, `{"error":"invalid_request"}`, reason.Unrecognised, "invalid_request"},
		{"not by a description", nil, 400, `{"error":"x","error_description":"invalid_grant"}`, reason.Unrecognised, "x"},
		{"not by other letters", nil, 400, `{"Error":"invalid_grant"}`, reason.Unrecognised, ""},
		{"not by a code in a code", nil, 400, `{"error":"invalid_grant\r\ncanary"}`, reason.Unrecognised, ""},
		{"not by two codes", nil, 400, `{"error":"invalid_grant","error":"slow_down"}`, reason.Unrecognised, ""},
		{"not by an object", nil, 400, `{"error":{"code":"invalid_grant"}}`, reason.Unrecognised, ""},
		{"not while the server fails", []string{"500"}, 500, `{"error":"invalid_grant"}`, reason.Unavailable, "invalid_grant"},
		{"not with prose", nil, 400, `{"error":"\u001b[31m<b>canary</b>"}`, reason.Unrecognised, ""},
		{"not by a long code", nil, 400, `{"error":"` + strings.Repeat("canary", 20) + `"}`, reason.Unrecognised, ""},
		{"nor is a wrong client", nil, 400, `{"error":"unsupported_grant_type"}`, reason.ClientRefused, "unsupported_grant_type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := grantAnswer(t, transport.TokenEndpoint{Dead: test.dead}, test.status, test.body)
			e := wantReason(t, err, test.want)
			equal(t, "code", e.Code, test.code)
			equal(t, "status", e.Status, test.status)
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("%v", err)
			}
		})
	}
}

// T-B18, B75: what net/http cannot read it quotes, and that may be the answer.
func TestAnAnswerThatIsNoHTTPIsNotQuoted(t *testing.T) {
	for name, answer := range map[string]string{
		"no HTTP at all":  `{"access_token":"canary","refresh_token":"canary"}` + "\r\n\r\n",
		"a broken status": "HTTP/1.1 canary OK\r\n\r\n",
		"a broken header": "HTTP/1.1 200 OK\r\nSet-Cookie canary\r\n\r\n",
		"a broken length": "HTTP/1.1 200 OK\r\nContent-Length: canary\r\n\r\n",
		"broken chunks":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n",
		"a broken coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: canary\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l := httpListener(t)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				conn.Read(make([]byte, 4096))
				conn.Write([]byte(answer))
			}()
			base := &http.Transport{}
			defer base.CloseIdleConnections()
			e := grantStyle.at("http://"+l.Addr().String(), base)
			_, err := e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "r"}))
			if e := wantReason(t, err, reason.Network); e.Unsent || strings.Contains(fmt.Sprintf("%v %+v", err, e.Err), "canary") {
				t.Errorf("%v", err)
			}
		})
	}
}

// T-B8, T-B18: whatever Base makes of it, and however much there is of it.
func TestAnAnswerIsReadUpToALimitAndItsErrorNotQuoted(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"an endless answer": strings.NewReader(strings.Repeat("x", 3<<20)),
		"an error":          iotest.ErrReader(errors.New("canary")),
	} {
		rest := &readers{Reader: body}
		e := &transport.TokenEndpoint{URL: "https://as.example/", Base: baseFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(rest)}, nil
		})}
		_, err := e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "r"}))
		if err == nil || strings.Contains(err.Error(), "canary") || rest.n > 1<<20+1 {
			t.Errorf("%s: %v, after %d bytes", name, err, rest.n)
		}
	}
}

// readers counts what is read.
type readers struct {
	io.Reader
	n int
}

func (r *readers) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += n
	return n, err
}

// B83, T-B19, T-B20
func TestAnAnswerForSomebodyElseEndsTheSession(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		w := newWorld(t, s, authtest.ASConfig{})
		ctx, cache := w.signIn("ann")
		w.as.RevokeAccess()
		w.as.NextSubject("bob")
		wantStatus(t, w.get(t, ctx, "/users/me"), 401)
		wantReason(t, cache.Err(), reason.SubjectChanged)
		equal(t, "requests as bob", w.api.Counts().Subjects["bob"], 0)
		if _, changed := cache.Changed(); changed {
			t.Error("the cookies change")
		}
	})
	t.Run("as the ID token says", func(t *testing.T) {
		id := func(sub string) string {
			as := authtest.NewAS(authtest.ASConfig{})
			defer as.Close()
			return as.SignIn(sub).Access() // a JWT with a sub
		}
		got, err := grantAnswer(t, transport.TokenEndpoint{}, 200, `{"access_token":"a","id_token":"`+id("bob")+`"}`)
		if err != nil || got.Subject() != "bob" {
			t.Errorf("%q, %v", got.Subject(), err)
		}
	})
}

// B79 over real sockets: the session goes on with what was good.
func TestAnAnswerWithOddFieldsServesTheRequest(t *testing.T) {
	for name, odd := range map[string]func(map[string]any){
		"expires_in is a string":  func(m map[string]any) { m["expires_in"] = "3600" },
		"expires_in is huge":      func(m map[string]any) { m["expires_in"] = json.RawMessage("1e20") },
		"expires_in is absent":    func(m map[string]any) { delete(m, "expires_in") },
		"token_type is absent":    func(m map[string]any) { delete(m, "token_type") },
		"refresh_token is null":   func(m map[string]any) { m["refresh_token"] = nil },
		"there are other members": func(m map[string]any) { m["scope"], m["x"] = "a", []int{1} },
	} {
		bothStyles(t, func(t *testing.T, s style) {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, s, authtest.ASConfig{})
				w.as.Mutate(odd)
				ctx, _ := w.signIn("ann")
				w.as.RevokeAccess()
				wantStatus(t, w.get(t, ctx, "/users/me"), 200)
				wantPresentations(t, w.as, 1)
			})
		})
	}
}
