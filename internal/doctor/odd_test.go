package doctor_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/doctor"
)

// How dead tokens look, and what is to be done about it.
func TestWhatADeadTokenLooksLike(t *testing.T) {
	for _, row := range []struct {
		name, answer     string
		status           int
		body             string
		profile, warning string
	}{
		{"as the standard has it", "400 invalid_grant", 400, `{"error":"invalid_grant"}`, "", ""},
		{"with 401", "401 invalid_grant", 401, `{"error":"invalid_grant"}`, "", ""},
		{"as an invalid request", "400 invalid_request", 400, `{"error":"invalid_request"}`, `Dead:          []string{"400 invalid_request"}`, "Dead has to say so"},
		{"with 200 and an error", "200 bad_refresh_token", 200, `{"error":"bad_refresh_token"}`, `Dead:          []string{"200 bad_refresh_token"}`, "Dead has to say so"},
		{"with nothing at all", "400", 400, "", `Dead:          []string{"400"}`, "for any other cause, too"},
		{"as an error of the server", "500 server_error", 500, `{"error":"server_error"}`, "", "reads like an outage"},
		{"as the client's fault", "400 unauthorized_client", 400, `{"error":"unauthorized_client"}`, "", "blames the client"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, authtest.ASConfig{})
			w.refusals(authtest.Answer(row.status, nil, row.body))
			d, r := examine(t, w, w.config(3))
			if r.Refresh.Family != "dies" || r.Refresh.Old != row.answer || len(r.Dead) == 0 {
				t.Errorf("%+v, %+v", r.Refresh, r.Dead)
			}
			if said := strings.Contains(r.Profile, "Dead:"); said != (row.profile != "") || !strings.Contains(r.Profile, row.profile) {
				t.Error(r.Profile)
			}
			if about := warned(r, "Dead tokens are answered"); about != (row.warning != "") || !warned(r, row.warning) {
				t.Error(d.Text())
			}
		})
	}
}

// An outage in the middle of it proves nothing.
func TestAnOutageIsNoRefusal(t *testing.T) {
	for _, status := range []int{408, 429, 502, 503, 504} {
		w := newWorld(t, authtest.ASConfig{})
		w.refusals(authtest.Answer(status, nil, ""))
		d, r := examine(t, w, w.config(3))
		if len(r.Dead) > 0 || r.Refresh.Family != "" || r.Refresh.SecondUse != "not tried" || !warned(r, "no clear answer") || strings.Contains(r.Profile, "Dead") {
			t.Errorf("%d:\n%s", status, d.Text())
		}
	}
}

func TestWhatTheAnswerSays(t *testing.T) {
	for name, row := range map[string]struct {
		mutate func(map[string]any)
		config authtest.ASConfig
		about  func(doctor.Report) bool
	}{
		"an expires_in that is too short": {
			func(m map[string]any) { m["expires_in"] = 60 }, authtest.ASConfig{},
			func(r doctor.Report) bool {
				return r.Access.Honest == "no" && time.Duration(r.Access.Off) == 4*time.Minute && warned(r, "do not agree")
			},
		},
		"an expires_in that is a string": {
			func(m map[string]any) { m["expires_in"] = "300" }, authtest.ASConfig{},
			func(r doctor.Report) bool { return r.Access.Honest == "yes" },
		},
		"no expires_in": {
			func(m map[string]any) { delete(m, "expires_in") }, authtest.ASConfig{},
			func(r doctor.Report) bool {
				return r.Access.Honest == "cannot be told" && warned(r, "does not say when")
			},
		},
		"an opaque access token": {
			func(m map[string]any) { m["access_token"] = "opaque-opaque" }, authtest.ASConfig{},
			func(r doctor.Report) bool {
				return r.Access.Kind == "opaque" && !strings.Contains(r.Profile, "Verifier")
			},
		},
		"an encrypted access token": {
			func(m map[string]any) { m["access_token"] = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..aa.bb.cc" }, authtest.ASConfig{},
			func(r doctor.Report) bool { return r.Access.Kind == "JWE" && r.Access.Alg == "dir" },
		},
		"a shared secret": {
			nil, authtest.ASConfig{Alg: "HS256"},
			func(r doctor.Report) bool {
				return strings.HasPrefix(r.Access.KeyKnown, "no: a shared") && strings.Contains(r.Profile, "JWT_SECRET")
			},
		},
		"the life of the refresh token": {
			func(m map[string]any) { m["refresh_token_expires_in"] = 3600 }, authtest.ASConfig{},
			func(r doctor.Report) bool {
				return strings.Contains(r.Profile, "Hold:      3600 * time.Second") && time.Duration(r.Refresh.Life) == time.Hour
			},
		},
		"no refresh token now and then": {
			func(m map[string]any) { delete(m, "refresh_token") }, authtest.ASConfig{},
			func(r doctor.Report) bool { return r.Refresh.LeftOut && warned(r, "cannot be refreshed a second time") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, row.config)
			w.Mutate(row.mutate)
			if d, r := examine(t, w, w.config(1)); !row.about(r) {
				t.Errorf("%+v\n%s", r.Access, d.Text())
			}
		})
	}
}

func TestTheServersClockIsAhead(t *testing.T) {
	w := newWorld(t, authtest.ASConfig{})
	w.Advance(2 * time.Minute)
	_, r := examine(t, w, w.config(1))
	if off := time.Duration(r.Clock.Issued) - 2*time.Minute; !r.Clock.IssuedKnown || off.Abs() > 2*time.Second || !warned(r, "The iat") {
		t.Errorf("%+v", r.Clock)
	}
	if !strings.Contains(r.Profile, "Leeway") {
		t.Error(r.Profile)
	}
	if off := time.Duration(r.Clock.Ahead); !r.Clock.Known || off.Abs() > 2*time.Second || warned(r, "The server's clock") {
		t.Errorf("its Date is ours: %+v", r.Clock)
	}
}

// A server that takes a reuse for theft, and ends all that the user has.
func TestReuseEndsTheUsersOtherSessions(t *testing.T) {
	w := newWorld(t, authtest.ASConfig{})
	c := w.config(3)
	w.Fail(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		before := w.Counts().Reuses
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		if w.Counts().Reuses > before {
			for _, s := range c.Sessions {
				w.EndSession(s)
			}
		}
		authtest.Answer(rec.Code, rec.Header(), rec.Body.String())(rw, r, next)
	})
	delete(w.metadata, "introspection_endpoint")
	_, r := examine(t, w, c)
	if r.Refresh.Others != "dies" || !warned(r, "EVERY session") {
		t.Errorf("%+v", r.Refresh)
	}
	if r.Revocation.Works != "cannot be told" { // it is dead, but what of?
		t.Errorf("%+v", r.Revocation)
	}
}

func TestARevocationThatEndsNothing(t *testing.T) {
	w := newWorld(t, authtest.ASConfig{})
	w.FailRevoke(authtest.Answer(200, nil, ""))
	if _, r := examine(t, w, w.config(3)); r.Revocation.Works != "no" || r.Revocation.Refresh != "lives" || !warned(r, "works still") || strings.Contains(r.Profile, "Revoker") {
		t.Errorf("%+v\n%s", r.Revocation, r.Profile)
	}
	w = newWorld(t, authtest.ASConfig{})
	w.FailRevoke(authtest.Answer(503, nil, ""))
	if _, r := examine(t, w, w.config(3)); r.Revocation.Works != "no" || !warned(r, "was refused (503)") {
		t.Errorf("%+v", r.Revocation)
	}
	// It ends the session, and says that it cannot: a Revoker would not believe it.
	w = newWorld(t, authtest.ASConfig{})
	w.FailRevoke(authtest.After(authtest.Answer(500, nil, "")))
	if _, r := examine(t, w, w.config(3)); r.Revocation.Works != "no" || r.Revocation.Refresh != "dies" {
		t.Errorf("%+v", r.Revocation)
	}
}

// Some servers look at the token first, and at the client only if it lives.
func TestAWrongClientThatReadsLikeADeadToken(t *testing.T) {
	for name, row := range map[string]struct {
		unless func(*world, url.Values) bool // the client is judged
		told   bool
	}{
		"always":                        {func(*world, url.Values) bool { return false }, false},
		"with a token that is no one's": {func(w *world, f url.Values) bool { return w.Alive(f.Get("refresh_token")) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const secret = "the-right-secret"
			w := newWorld(t, authtest.ASConfig{ClientAuth: authtest.ClientSecretPost, ClientSecret: secret})
			w.Fail(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
				rec := httptest.NewRecorder()
				judged := row.unless(w, r.PostForm)
				next.ServeHTTP(rec, r)
				if strings.Contains(rec.Body.String(), "invalid_client") && !judged {
					authtest.Answer(400, nil, `{"error":"invalid_grant"}`)(rw, r, next)
					return
				}
				authtest.Answer(rec.Code, rec.Header(), rec.Body.String())(rw, r, next)
			})
			c := w.config(3)
			c.Secret, c.AuthMethod = secret, "client_secret_post"
			d, r := examine(t, w, c)
			if r.Client.NotTold == row.told || r.Client.Used != "client_secret_post" || r.Refresh.Family != "dies" || r.Revocation.Works != "yes" {
				t.Errorf("%+v\n%s", r.Client, d.Text())
			}
			if warned(r, "as a dead refresh token") == row.told {
				t.Errorf("%q", r.Warnings)
			}
		})
	}
}

// A nonce that is demanded of a proof costs no presentation.
func TestDPoPNonce(t *testing.T) {
	w := newWorld(t, authtest.ASConfig{})
	to, _ := url.Parse(w.TokenURL())
	behind := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL, r.Out.Host = to, to.Host }}
	demanded := 0
	w.mux.HandleFunc("POST /token", func(rw http.ResponseWriter, r *http.Request) {
		proof := strings.Split(r.Header.Get("DPoP"), ".")
		if len(proof) == 3 && !strings.Contains(decoded(proof[1]), `"nonce":"n1"`) {
			demanded++
			io.Copy(io.Discard, r.Body)
			rw.Header().Set("DPoP-Nonce", "n1")
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(400)
			io.WriteString(rw, `{"error":"use_dpop_nonce"}`)
			return
		}
		behind.ServeHTTP(rw, r)
	})
	w.metadata["token_endpoint"] = w.Issuer + "/token"
	w.metadata["dpop_signing_alg_values_supported"] = []string{"ES256"}
	w.Mutate(func(m map[string]any) { m["token_type"] = "DPoP" })
	c := w.config(1)
	c.DPoP = true
	d, err := doctor.New(c)
	if err == nil {
		err = d.Look(t.Context())
	}
	if err == nil {
		err = d.Examine(t.Context())
	}
	d.Conclude()
	r := d.Report()
	if err != nil || r.DPoP.Nonce != "yes" || !r.DPoP.Used || r.Refresh.Family != "dies" || r.Spent.Presentations != 4 {
		t.Errorf("%v, %+v, %+v\n%s", err, r.DPoP, r.Spent, d.Text())
	}
	if demanded < 2 || w.Counts().Presentations != r.Spent.Presentations+r.Spent.MadeUp-1 {
		t.Errorf("%d demands, %d arrived", demanded, w.Counts().Presentations)
	}
	if !strings.Contains(r.Profile, "DPoP:          prover") {
		t.Error(r.Profile)
	}
}

func decoded(part string) string {
	b, _ := base64.RawURLEncoding.DecodeString(part)
	return string(b)
}
