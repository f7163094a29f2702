package recipes_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/tokencache"
	"golang.org/x/oauth2"
)

// table is where a program keeps what x/oauth2 gave it: one row here.
type table struct {
	mu  sync.Mutex
	row *oauth2.Token
}

func (s *table) load() *oauth2.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	row := *s.row
	return &row
}

func (s *table) save(ctx context.Context, t *oauth2.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.row = t
	return ctx.Err()
}

// oauth2World is a provider where ada has signed in to a program that does all
// of it with golang.org/x/oauth2. The API takes her access token no more, well
// before its Expiry.
func oauth2World(t *testing.T) (*opProvider, context.Context, *table) {
	t.Helper()
	s := startSignIns(t)
	ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: s.base}) // what x/oauth2 uses, too
	verifier := oauth2.GenerateVerifier()
	v := s.visitor("ada")
	_, back := v.walk(v.load("GET", s.oauth.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)), nil), "/callback")
	stored, err := s.oauth.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	s.dead = stored.AccessToken
	return s.opProvider, ctx, &table{row: stored}
}

// status calls the API with a client.
func (op *opProvider) status(c *http.Client) int {
	op.t.Helper()
	resp, err := c.Get(op.api.URL + "/users/me")
	if err != nil {
		op.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// What is said of oauth2.Transport is so.
func TestOAuth2IsNotEnough(t *testing.T) {
	t.Run("a 401 is the caller's", func(t *testing.T) {
		op, ctx, stored := oauth2World(t)
		if got := op.status(op.oauth.Client(ctx, stored.load())); got != 401 || op.presented("refresh_token") != 0 {
			t.Errorf("%d after %d refreshes", got, op.presented("refresh_token"))
		}
	})

	t.Run("two clients of a user present the same refresh token, and one loses the session", func(t *testing.T) {
		op, ctx, stored := oauth2World(t)
		stored.row.Expiry = time.Now().Add(-time.Second)
		var failed int
		for range 2 {
			if _, err := op.oauth.TokenSource(ctx, stored.load()).Token(); err != nil {
				failed++
			}
		}
		if failed != 1 || op.presented("refresh_token") != 2 {
			t.Errorf("%d of them failed, after %d presentations", failed, op.presented("refresh_token"))
		}
	})

	t.Run("without an AuthStyle a refresh token is presented twice by one call", func(t *testing.T) {
		op, ctx, stored := oauth2World(t)
		stored.row.Expiry = time.Now().Add(-time.Second)
		op.oauth.Endpoint.AuthStyle = oauth2.AuthStyleAutoDetect
		op.fault = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
		if _, err := op.oauth.TokenSource(ctx, stored.load()).Token(); err == nil || op.presented("refresh_token") != 2 {
			t.Errorf("%v after %d presentations", err, op.presented("refresh_token"))
		}
	})

	t.Run("a redirect carries the token to another host", func(t *testing.T) {
		op, ctx, stored := oauth2World(t)
		got := make(chan string, 1)
		other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Authorization") }))
		defer other.Close()
		op.api.Config.Handler = http.RedirectHandler(other.URL, http.StatusFound)
		op.status(op.oauth.Client(ctx, stored.load()))
		if token := <-got; token != "Bearer "+stored.row.AccessToken {
			t.Error("it does not any more")
		}
	})
}

func TestJob(t *testing.T) {
	t.Run("jobs of one stored token present it once, and what is stored works", func(t *testing.T) {
		op, _, stored := oauth2World(t)
		c, api, old := op.coordinator(), op.client(), stored.load()
		job := func(ctx context.Context) error {
			var me struct{ User string }
			_, err := api.R(ctx).SetResult(&me).Get("/users/me")
			if err == nil && me.User != "ada" {
				err = errors.New("the API knows " + me.User)
			}
			return err
		}
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if err := recipes.Job(t.Context(), c, old, stored.save, job); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := op.presented("refresh_token"); n != 1 {
			t.Errorf("%d presentations, want 1", n)
		}
		now := stored.load()
		if now.RefreshToken == old.RefreshToken || !now.Valid() {
			t.Error("the old tokens are stored")
		}
		if err := recipes.Job(t.Context(), c, now, stored.save, job); err != nil || op.presented("refresh_token") != 1 {
			t.Errorf("the next job: %v, after %d presentations", err, op.presented("refresh_token"))
		}
	})

	t.Run("a job that fails, and whose context has ended, has its tokens saved", func(t *testing.T) {
		op, _, stored := oauth2World(t)
		old, fails := stored.load(), errors.New("the job failed")
		ctx, cancel := context.WithCancel(t.Context())
		err := recipes.Job(ctx, op.coordinator(), old, stored.save, func(ctx context.Context) error {
			if _, err := op.client().R(ctx).Get("/users/me"); err != nil {
				return err
			}
			cancel()
			return fails
		})
		if !errors.Is(err, fails) || errors.Is(err, context.Canceled) || stored.load().RefreshToken == old.RefreshToken {
			t.Errorf("%v, saved: %t", err, stored.load().RefreshToken != old.RefreshToken)
		}
	})
}

func TestTokenSource(t *testing.T) {
	t.Run("it gives what lives, without the refresh token, and refreshes once for all", func(t *testing.T) {
		op, ctx, stored := oauth2World(t)
		stored.row.Expiry = time.Now().Add(-time.Second)
		cache := tokencache.New(op.coordinator(), recipes.FromOAuth2(stored.load()))
		source := recipes.TokenSource(ctx, cache)
		theirs := &http.Client{Transport: &oauth2.Transport{Source: source, Base: op.base}}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if got := op.status(theirs); got != 200 {
					t.Error(got)
				}
			})
		}
		all.Wait()
		got, err := source.Token()
		if err != nil || got.RefreshToken != "" || got.AccessToken != cache.Token().Access() || !got.Valid() {
			t.Errorf("error %v, a refresh token: %t", err, got != nil && got.RefreshToken != "")
		}
		if n := op.presented("refresh_token"); n != 1 {
			t.Errorf("%d presentations, want 1", n)
		}
	})

	t.Run("a 401 stays with the library until another call has the token refreshed", func(t *testing.T) {
		op, ctx, stored := oauth2World(t)
		cache := tokencache.New(op.coordinator(), recipes.FromOAuth2(stored.load()))
		source := recipes.TokenSource(ctx, cache)
		theirs := &http.Client{Transport: &oauth2.Transport{Source: source, Base: op.base}}
		wrapped := oauth2.NewClient(ctx, source)
		if a, b := op.status(theirs), op.status(wrapped); a != 401 || b != 401 || op.presented("refresh_token") != 0 {
			t.Errorf("%d and %d, after %d presentations", a, b, op.presented("refresh_token"))
		}
		if _, err := op.client().R(tokencache.NewContext(ctx, cache)).Get("/users/me"); err != nil {
			t.Fatal(err)
		}
		if a, b := op.status(theirs), op.status(wrapped); a != 200 || b != 401 {
			t.Errorf("then %d, and %d from oauth2.NewClient, which goes on with the old one", a, b)
		}
	})

	t.Run("an end of the session is an error, and so is having none", func(t *testing.T) {
		op, ctx, stored := oauth2World(t)
		stored.row.Expiry = time.Now().Add(-time.Second)
		op.fault = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"invalid_grant"}`)
			return true
		}
		cache := tokencache.New(op.coordinator(), recipes.FromOAuth2(stored.load()))
		if _, err := recipes.TokenSource(ctx, cache).Token(); !errors.Is(err, tokencache.ErrLoginRequired) {
			t.Error(err)
		}
		if _, err := recipes.TokenSource(ctx, nil).Token(); !errors.Is(err, tokencache.ErrUnauthorized) {
			t.Error(err)
		}
	})
}
