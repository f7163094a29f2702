package authtest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/authtest"
)

func newAS(t *testing.T, config authtest.ASConfig) *authtest.AS {
	t.Helper()
	as := authtest.NewAS(config)
	t.Cleanup(as.Close)
	return as
}

func newAPI(t *testing.T, as *authtest.AS) *authtest.API {
	t.Helper()
	api := as.NewAPI()
	t.Cleanup(api.Close)
	return api
}

// answer is an answer that was read to its end.
type answer struct {
	status  int
	header  http.Header
	cookies map[string]string
	body    []byte
	members map[string]any // of the body, if it is JSON
}

// do sends a request without following redirects.
func do(rt http.RoundTripper, req *http.Request) (answer, error) {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header, cookies: map[string]string{}}
	for _, c := range resp.Cookies() {
		a.cookies[c.Name] = c.Value
	}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return a, err
	}
	if len(a.body) < 1<<20 {
		json.Unmarshal(a.body, &a.members)
	}
	return a, nil
}

func newRequest(ctx context.Context, method, url, body string) *http.Request {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	return req
}

func formRequest(ctx context.Context, to string, form url.Values) *http.Request {
	req := newRequest(ctx, "POST", to, form.Encode())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// style is one of the two ways to refresh.
type style struct {
	name string
	new  func(ctx context.Context, as *authtest.AS, token string) *http.Request
	pair func(answer) (access, refresh string)
	dead int // the status for a dead token
}

var styles = []style{
	{
		name: "grant",
		new: func(ctx context.Context, as *authtest.AS, token string) *http.Request {
			return formRequest(ctx, as.TokenURL(), refreshForm(token))
		},
		pair: func(a answer) (access, refresh string) {
			access, _ = a.members["access_token"].(string)
			refresh, _ = a.members["refresh_token"].(string)
			return access, refresh
		},
		dead: http.StatusBadRequest,
	},
	{
		name: "cookie",
		new: func(ctx context.Context, as *authtest.AS, token string) *http.Request {
			req := newRequest(ctx, "POST", as.RestoreURL(), "{}")
			req.AddCookie(&http.Cookie{Name: "refreshToken", Value: token})
			return req
		},
		pair: func(a answer) (access, refresh string) {
			access, _ = a.members["accessToken"].(string)
			return access, a.cookies["refreshToken"]
		},
		dead: http.StatusUnauthorized,
	},
}

// bothStyles runs a test in the grant and in the cookie style.
func bothStyles(t *testing.T, f func(t *testing.T, s style)) {
	for _, s := range styles {
		t.Run(s.name, func(t *testing.T) { f(t, s) })
	}
}

func (s style) try(as *authtest.AS, token string) (answer, error) {
	return do(as.Transport(), s.new(context.Background(), as, token))
}

// refresh expects success and returns the new pair.
func (s style) refresh(t *testing.T, as *authtest.AS, token string) (access, refresh string) {
	t.Helper()
	a, err := s.try(as, token)
	if err != nil || a.status != http.StatusOK {
		t.Fatalf("refresh: %d %s, %v", a.status, a.body, err)
	}
	access, refresh = s.pair(a)
	if access == "" {
		t.Fatalf("refresh: no access token in %s", a.body)
	}
	return access, refresh
}

// refuse expects that the token is dead.
func (s style) refuse(t *testing.T, as *authtest.AS, token string) answer {
	t.Helper()
	a, err := s.try(as, token)
	if err != nil || a.status != s.dead {
		t.Fatalf("refresh: %d %s, %v, want %d", a.status, a.body, err, s.dead)
	}
	return a
}

// call calls the API and expects no error of the connection.
func call(t *testing.T, api *authtest.API, req *http.Request, access string) answer {
	t.Helper()
	req.Header.Set("Authorization", "Bearer "+access)
	a, err := do(api.Transport(), req)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func get(t *testing.T, api *authtest.API, path, access string) answer {
	t.Helper()
	return call(t, api, newRequest(t.Context(), "GET", api.URL+path, ""), access)
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
