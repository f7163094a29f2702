package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/transport"
)

// world is an authorization server, its API, and what a program sets up once.
type world struct {
	as          *authtest.AS
	api         *authtest.API
	coordinator *tokencache.Coordinator
	client      *client.Client
}

func start(t *testing.T) *world {
	t.Helper()
	as := authtest.NewAS(authtest.ASConfig{})
	t.Cleanup(as.Close)
	api := as.NewAPI()
	t.Cleanup(api.Close)
	base := as.Transport().Clone()
	t.Cleanup(base.CloseIdleConnections)
	c := &tokencache.Coordinator{Refresher: &transport.TokenEndpoint{URL: as.TokenURL(), ClientID: "bff", Base: base}}
	return &world{as, api, c, client.New(api.URL, &transport.Transport{Base: base, Origins: []string{api.URL}})}
}

// as returns a context for a user who has just signed in.
func (w *world) signIn(t *testing.T, user string) context.Context {
	return tokencache.NewContext(t.Context(), tokencache.New(w.coordinator, w.as.SignIn(user)))
}

// B44: what resty makes of a body arrives twice the same.
func TestBodiesOfRestyAreReplayed(t *testing.T) {
	w := start(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 40<<10)
	file := filepath.Join(t.TempDir(), "upload.bin")
	if err := os.WriteFile(file, big, 0o600); err != nil {
		t.Fatal(err)
	}
	type comment struct{ Text string }
	for name, send := range map[string]func(ctx context.Context) ([]byte, string, error){
		"JSON": func(ctx context.Context) ([]byte, string, error) {
			r, err := w.client.R(ctx).SetBody(comment{"hello"}).Post("/comments")
			return r.Body(), `{"Text":"hello"}`, err
		},
		"a string": func(ctx context.Context) ([]byte, string, error) {
			r, err := w.client.R(ctx).SetBody("hello").Post("/comments")
			return r.Body(), "hello", err
		},
		"a form": func(ctx context.Context) ([]byte, string, error) {
			r, err := w.client.R(ctx).SetFormData(map[string]string{"a": "1 2"}).Post("/comments")
			return r.Body(), "a=1+2", err
		},
		"640 KiB": func(ctx context.Context) ([]byte, string, error) {
			r, err := w.client.R(ctx).SetBody(big).Post("/comments")
			return r.Body(), string(big), err
		},
		"a reader that cannot be rewound": func(ctx context.Context) ([]byte, string, error) {
			r, err := w.client.R(ctx).SetBody(io.MultiReader(bytes.NewReader(big))).Post("/comments")
			return r.Body(), string(big), err
		},
		"a multipart upload of a file": func(ctx context.Context) ([]byte, string, error) {
			r, err := w.client.R(ctx).SetFile("file", file).SetMultipartBoundary("xxx").Post("/comments")
			want := "--xxx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"upload.bin\"\r\n" +
				"Content-Type: application/octet-stream\r\n\r\n" + string(big) + "\r\n--xxx--\r\n"
			return r.Body(), strings.Replace(want, "application/octet-stream", "text/plain; charset=utf-8", 1), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := w.signIn(t, "ada")
			w.as.RevokeAccess()
			w.api.ResetCounts()
			got, want, err := send(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != want {
				t.Errorf("got %d bytes, want %d", len(got), len(want))
			}
			if c := w.api.Counts(); c.Unauthorized != 1 || c.OK != 1 {
				t.Errorf("%d answers of 401 and %d of 200, not one of each", c.Unauthorized, c.OK)
			}
		})
	}
}

// T-J5: the counts of resty's retries and of our replay do not multiply, since
// resty does not retry unless it is told to.
func TestRestyDoesNotRetry(t *testing.T) {
	w := start(t)
	w.api.Refuse(authtest.Refusal{Always: true})
	_, err := w.client.R(w.signIn(t, "ada")).Get("/users/me")
	if !errors.Is(err, tokencache.ErrUnauthorized) {
		t.Fatal(err)
	}
	if n := w.api.Counts().Requests; n != 2 {
		t.Errorf("%d requests, not one and its replay", n)
	}
}

// The API's cookies for one user are nothing to the next one.
func TestNoCookieOfTheAPIIsKept(t *testing.T) {
	var seen sync.Map
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Cookie"), true)
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "of-one-user"})
	}))
	defer srv.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	c := client.New(srv.URL, base)
	for range 2 {
		if _, err := c.R(t.Context()).Get("/"); err != nil {
			t.Fatal(err)
		}
	}
	seen.Range(func(k, _ any) bool {
		if k != "" {
			t.Errorf("sent the cookie %v", k)
		}
		return true
	})
}

// B8: whose call it is follows from the context alone.
func TestManyUsersOverOneClient(t *testing.T) {
	w := start(t)
	users := []string{"ada", "grace", "barbara"}
	var ctxs []context.Context
	for _, u := range users {
		ctxs = append(ctxs, w.signIn(t, u))
	}
	w.as.RevokeAccess()
	var all sync.WaitGroup
	for i := range 600 {
		all.Go(func() {
			u := i % len(users)
			var me struct{ User string }
			_, err := w.client.R(ctxs[u]).SetHeader(authtest.UserHeader, users[u]).SetResult(&me).Get("/users/me")
			if err != nil || me.User != users[u] {
				t.Errorf("call %d for %s was answered for %q: %v", i, users[u], me.User, err)
			}
		})
	}
	all.Wait()
	if n := w.api.Counts().Mixed; n != 0 {
		t.Errorf("%d calls with somebody else's token", n)
	}
	if n := w.as.Counts().Presentations; n != len(users) {
		t.Errorf("%d presentations for %d users", n, len(users))
	}
}

func TestStatusError(t *testing.T) {
	const problem = `{"type":"https://example.com/full","title":"Full","status":507,"detail":"no room","instance":"/x"}`
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Trace", "t1")
		switch r.URL.Path {
		case "/problem":
			w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
			w.WriteHeader(http.StatusInsufficientStorage)
			io.WriteString(w, problem)
		case "/long":
			w.WriteHeader(http.StatusBadGateway)
			w.Write(bytes.Repeat([]byte("x"), 100<<10))
		case "/stepup":
			w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_user_authentication", acr_values="gold silver", max_age="5"`)
			w.WriteHeader(http.StatusUnauthorized)
		case "/a\nb/c":
			w.WriteHeader(http.StatusNotFound)
		case "/nowhere":
			http.Redirect(w, r, "/problem", http.StatusFound)
		}
	}))
	defer srv.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	c := client.New(srv.URL, base)
	get := func(t *testing.T, path string) *client.StatusError {
		t.Helper()
		_, err := c.R(t.Context()).Get(path)
		var e *client.StatusError
		if !errors.As(err, &e) {
			t.Fatalf("%v is no StatusError", err)
		}
		return e
	}
	t.Run("keeps status, header and body, and reads RFC 9457", func(t *testing.T) {
		e := get(t, "/problem?token=canary")
		if e.Status != 507 || e.Header.Get("X-Trace") != "t1" || string(e.Body) != problem {
			t.Errorf("%d %v %s", e.Status, e.Header, e.Body)
		}
		if e.Problem == nil || *e.Problem != (client.Problem{Type: "https://example.com/full", Title: "Full", Status: 507, Detail: "no room", Instance: "/x"}) {
			t.Errorf("%+v", e.Problem)
		}
		if text := e.Error(); strings.Contains(text, "canary") || strings.Contains(text, "room") || !strings.Contains(text, "507") {
			t.Errorf("%q quotes the query or the body, or not the status", text)
		}
		if errors.Is(e, tokencache.ErrUnauthorized) {
			t.Error("507 is not unauthorized")
		}
	})
	t.Run("keeps 64 KiB of a body at most, and of its memory", func(t *testing.T) {
		if b := get(t, "/long").Body; len(b) != 64<<10 || cap(b) > 65<<10 {
			t.Error(len(b), cap(b))
		}
	})
	t.Run("keeps no body that resty has written to a file", func(t *testing.T) {
		_, err := c.R(t.Context()).SetOutput(filepath.Join(t.TempDir(), "out")).Get("/problem")
		var e *client.StatusError
		if !errors.As(err, &e) || e.Status != 507 || len(e.Body) != 0 || e.Problem != nil {
			t.Errorf("%v", err)
		}
	})
	t.Run("names the path as it was sent, so that it breaks no line", func(t *testing.T) {
		if text := get(t, "/a%0ab%2Fc").Error(); !strings.HasPrefix(text, "GET /a%0ab%2Fc: 404") {
			t.Errorf("%q", text)
		}
	})
	t.Run("is not made for a caller that wants the answer as it is", func(t *testing.T) {
		resp, err := c.R(t.Context()).SetDoNotParseResponse(true).Get("/problem")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.RawBody().Close()
		if b, _ := io.ReadAll(resp.RawBody()); string(b) != problem {
			t.Errorf("%s", b)
		}
	})
	t.Run("is the answer where a redirect leads", func(t *testing.T) {
		if e := get(t, "/nowhere"); e.Status != 507 {
			t.Error(e)
		}
	})
	t.Run("carries what a stronger sign-in must be", func(t *testing.T) { // B13
		var s *tokencache.StepUpError
		if e := get(t, "/stepup"); !errors.As(e, &s) || !errors.Is(e, tokencache.ErrUnauthorized) {
			t.Fatal(e)
		}
		if fmt.Sprint(s.ACRValues) != "[gold silver]" || s.MaxAge != 5*time.Second {
			t.Errorf("%+v", s)
		}
	})
}

// RFC 9457 section 3.1: a member of another type is ignored, and the others stand.
func TestAProblemIsReadMemberByMember(t *testing.T) {
	full := client.Problem{Type: "https://example.com/full", Title: "Full", Status: 507, Detail: "no room"}
	const members = `"type":"https://example.com/full","title":"Full","detail":"no room"`
	without := func(change func(*client.Problem)) *client.Problem { p := full; change(&p); return &p }
	for name, test := range map[string]struct {
		body string
		want *client.Problem
	}{
		"a status that is a text":      {`{` + members + `,"status":"507"}`, without(func(p *client.Problem) { p.Status = 0 })},
		"a status that is no integer":  {`{` + members + `,"status":1e99}`, without(func(p *client.Problem) { p.Status = 0 })},
		"an instance that is a number": {`{` + members + `,"status":507,"instance":7}`, &full},
		"a title that is an object":    {`{` + members + `,"status":507,"title":{}}`, without(func(p *client.Problem) { p.Title = "" })},
		"members of null":              {`{` + members + `,"status":507,"instance":null}`, &full},
		"a long extension":             {`{"x":"` + strings.Repeat("x", 70<<10) + `",` + members + `,"status":507}`, &full},
		"no member that is defined":    {`{"x":1}`, &client.Problem{}},
		"a body that is no object":     {`["x"]`, nil},
		"a body that is null":          {`null`, nil},
		"half of a body":               {`{` + members, nil},
		"a body that is not there":     {``, nil},
	} {
		t.Run(name, func(t *testing.T) {
			rt := roundTripper(func(req *http.Request) (*http.Response, error) {
				header := http.Header{"Content-Type": {"application/problem+json"}}
				return &http.Response{StatusCode: 507, Header: header, Body: io.NopCloser(strings.NewReader(test.body)), Request: req}, nil
			})
			_, err := client.New("https://api.example", rt).R(t.Context()).Get("/")
			var e *client.StatusError
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			if (e.Problem == nil) != (test.want == nil) || e.Problem != nil && *e.Problem != *test.want {
				t.Errorf("%+v, want %+v", e.Problem, test.want)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A 401 says why the refresh before it failed, and so whether the session is
// over.
func TestUnauthorizedSaysWhy(t *testing.T) {
	for name, row := range map[string]struct {
		fault authtest.Fault
		is    reason.Reason
		over  bool
	}{
		"the grant is dead":             {authtest.Answer(400, nil, `{"error":"invalid_grant"}`), reason.Refused, true},
		"the server is out of order":    {authtest.Answer(503, nil, ""), reason.Unavailable, false},
		"the client is not known there": {authtest.Answer(401, nil, `{"error":"invalid_client"}`), reason.ClientRefused, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			w.as.Fail(row.fault)
			ctx := w.signIn(t, "ada")
			w.as.RevokeAccess()
			_, err := w.client.R(ctx).Get("/users/me")
			if !errors.Is(err, tokencache.ErrUnauthorized) {
				t.Errorf("%v is not unauthorized", err)
			}
			if over := errors.Is(err, tokencache.ErrLoginRequired); over != row.over {
				t.Errorf("login required: %t", over)
			}
			var e *tokencache.Error
			if !errors.As(err, &e) || e.Reason != row.is {
				t.Errorf("%v, not %s", err, row.is)
			}
		})
	}
}
