package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/rebearer/rebearer/transport"
)

// A backend is a running NestJS service that keeps its tokens in cookies.
type backend struct {
	server
	URL  string
	obey func(command string) error
}

func startNest(t testing.TB, s server, accessTTL time.Duration, env ...string) running {
	t.Helper()
	l := launch(t, s, accessTTL, env...)
	return &backend{server: s, URL: l.Issuer, obey: l.obey}
}

func (b *backend) tell(t testing.TB, command string) {
	t.Helper()
	must(t, b.obey(command))
}

// session implements running.
func (b *backend) session(t *testing.T, _ string) *session {
	t.Helper()
	restore := b.URL + "/auth/restore-token"
	s := &session{server: b.server, api: b.api(t), proxy: newProxy(t, restore), login: b.signIn(t)}
	s.present = func(refreshToken string) answer { return b.restore(t, refreshToken) }
	return s.open(&transport.CookieEndpoint{URL: restore, LogoutURL: b.URL + "/auth/logout", Base: s.proxy, Dead: b.dead})
}

// api is one that has the backend itself judge access tokens.
func (b *backend) api(t *testing.T) *resourceAPI {
	t.Helper()
	api := newAPI(t, func(ctx context.Context, token string) (string, error) { return ask(ctx, b.URL+"/users/me", token) })
	api.silent = true
	return api
}

func (b *backend) signIn(t testing.TB) answer {
	t.Helper()
	user := newUser()
	body, err := json.Marshal(map[string]string{"username": user, "password": user})
	must(t, err)
	resp, err := direct.Post(b.URL+"/auth/login", "application/json", bytes.NewReader(body))
	must(t, err)
	a := readCookies(t, resp)
	if a.Status != http.StatusOK || a.Access == "" || a.Refresh == "" {
		t.Fatalf("signing in: %d, %t, %t", a.Status, a.Access != "", a.Refresh != "")
	}
	return a
}

// restore presents a refresh token, with nothing of rebearer in between.
func (b *backend) restore(t testing.TB, refreshToken string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL+"/auth/restore-token", nil)
	must(t, err)
	req.AddCookie(&http.Cookie{Name: "refreshToken", Value: refreshToken})
	resp, err := direct.Do(req)
	must(t, err)
	return readCookies(t, resp)
}

func readCookies(t testing.TB, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	a := answer{Status: resp.StatusCode, at: time.Now()}
	var body struct{ AccessToken, Error string }
	must(t, json.NewDecoder(resp.Body).Decode(&body))
	a.Access, a.Error = body.AccessToken, body.Error
	for _, c := range resp.Cookies() {
		if c.Name == "refreshToken" {
			a.Refresh = c.Value
		}
	}
	return a
}

// What the backend does to a client that is not rebearer is what its row says.
func TestNestIsWhatItsRowSays(t *testing.T) {
	t.Parallel()
	each(t, func(s server) bool { return !oauth(s) }, time.Minute, func(t *testing.T, s server, run running) {
		b := run.(*backend)
		first := b.signIn(t)
		second := b.restore(t, first.Refresh)
		if second.Status != 200 || (second.Refresh == "") != s.keeps {
			t.Fatalf("a refresh answered %d, with a new refresh token: %t", second.Status, second.Refresh != "")
		}
		if s.keeps {
			if again := b.restore(t, first.Refresh); again.Status != 200 {
				t.Errorf("the same refresh token again: %d", again.Status)
			}
			return
		}
		third := b.restore(t, second.Refresh)
		if s.forgives {
			if third = b.restore(t, second.Refresh); third.Status != 200 {
				t.Errorf("the refresh token before the newest: %d", third.Status)
			}
		}
		spent, newest := b.restore(t, first.Refresh), b.restore(t, third.Refresh)
		if (reply{spent.Status, spent.Error}) != s.spent || (newest.Status != 200) != s.killsFamily {
			t.Errorf("a spent refresh token answered %d %s, then the newest %d", spent.Status, spent.Error, newest.Status)
		}
		if err := b.obey("rotate"); err == nil {
			t.Error("HS256 has a new key")
		}
	})
}
