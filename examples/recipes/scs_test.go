package recipes_test

import (
	"encoding/gob"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
	"golang.org/x/oauth2"
)

// scsWorld is a BFF of two replicas that share the sessions of scs, and what their
// Coordinators know.
type scsWorld struct {
	*world
	replicas [2]*recipes.SCS
}

func startSCS(t *testing.T) *scsWorld {
	t.Helper()
	w := &scsWorld{world: start(t)}
	sessions := scs.New()
	sessions.Store = memstore.NewWithCleanupInterval(0)
	shared := &tokencache.MemoryStore{}
	for i := range w.replicas {
		endpoint := &transport.TokenEndpoint{URL: w.as.TokenURL(), RevocationURL: w.as.RevokeURL(), ClientID: "bff", Base: w.base}
		c := &tokencache.Coordinator{Refresher: endpoint, Revoker: endpoint, Store: shared, Realm: "as bff"}
		t.Cleanup(func() { c.Wait(t.Context()) })
		w.replicas[i] = &recipes.SCS{Sessions: sessions, Coordinator: c}
	}
	return w
}

// site is a replica: below /0/ the first, below /1/ the second.
func (w *scsWorld) site(slow http.HandlerFunc) http.Handler {
	all := http.NewServeMux()
	for i, s := range w.replicas {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /me", func(rw http.ResponseWriter, r *http.Request) {
			var me struct{ User string }
			if _, err := w.rest.R(r.Context()).SetResult(&me).Get("/users/me"); err != nil {
				http.Error(rw, "no session works", http.StatusUnauthorized)
				return
			}
			fmt.Fprint(rw, me.User)
		})
		mux.HandleFunc("GET /stream", func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, "begin ")
			rw.(http.Flusher).Flush()
			w.refresh(r)
		})
		mux.HandleFunc("GET /holds", func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, s.Sessions.GetString(r.Context(), "refresh"))
		})
		mux.HandleFunc("POST /sign-in", func(rw http.ResponseWriter, r *http.Request) {
			if err := s.SignIn(r.Context(), w.as.SignIn("ada")); err != nil {
				http.Error(rw, err.Error(), http.StatusInternalServerError)
			}
		})
		mux.HandleFunc("POST /sign-out", func(rw http.ResponseWriter, r *http.Request) {
			if r.FormValue("refresh") != "" {
				w.refresh(r)
			}
			if r.FormValue("forget") != "" { // by who knows nothing of tokens
				s.Sessions.Destroy(r.Context())
				return
			}
			if err := s.SignOut(r.Context()); err != nil {
				http.Error(rw, err.Error(), http.StatusInternalServerError)
			}
		})
		mux.HandleFunc("GET /slow", func(rw http.ResponseWriter, r *http.Request) {
			slow(rw, r)
			s.Sessions.Put(r.Context(), "flash", "hello") // which writes all of the session
			fmt.Fprint(rw, "slow")
		})
		prefix := fmt.Sprint("/", i)
		all.Handle(prefix+"/", http.StripPrefix(prefix, s.Handler(mux)))
	}
	return all
}

// visit serves the site to a browser that has signed in at the first replica.
func visit(t *testing.T, w *world, site http.Handler, signIn string) *browser {
	t.Helper()
	srv := httptest.NewServer(site)
	t.Cleanup(srv.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{w, srv.URL, &http.Client{
		Jar: jar, Transport: w.base, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, jar}
	b.must(b.do("POST", signIn, nil, nil), http.StatusOK, "")
	return b
}

// presented fails unless so many refresh tokens were, and none twice.
func (w *world) presented(want int) {
	w.t.Helper()
	if c := w.as.Counts(); c.Presentations != want || c.Reuses != 0 {
		w.t.Errorf("%d presentations and %d reuses, want %d and none", c.Presentations, c.Reuses, want)
	}
}

// held is a handler that waits until it is let go, or the test ends.
func held(t *testing.T) (h http.HandlerFunc, arrived chan struct{}, letGo func()) {
	arrived, gone := make(chan struct{}), make(chan struct{})
	h = func(http.ResponseWriter, *http.Request) {
		close(arrived)
		select {
		case <-gone:
		case <-t.Context().Done():
		}
	}
	return h, arrived, func() { close(gone) }
}

// later starts a request, and returns what waits for its answer.
func (b *browser) later(path string) (wait func() answer) {
	var got answer
	done := make(chan struct{})
	go func() {
		defer close(done)
		got = b.get(path)
	}()
	b.w.t.Cleanup(func() { <-done })
	return func() answer { <-done; return got }
}

func parsed(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestSCS(t *testing.T) {
	t.Run("parallel requests at two replicas present once, and the session ends with what works", func(t *testing.T) {
		w := startSCS(t)
		b := visit(t, w.world, w.site(nil), "/0/sign-in")
		old := b.get("/0/holds").body
		w.as.RevokeAccess()
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() { b.must(b.get(fmt.Sprintf("/%d/me", i%2)), http.StatusOK, "ada") })
		}
		all.Wait()
		w.presented(1)
		if now := b.get("/0/holds").body; now == old || !w.as.Alive(now) {
			t.Error("the session holds what is spent")
		}
	})

	t.Run("a response that is late puts back what was spent, and the next request heals it", func(t *testing.T) {
		slow, arrived, letGo := held(t)
		w := startSCS(t)
		b := visit(t, w.world, w.site(slow), "/0/sign-in")
		old := b.get("/0/holds").body
		late := b.later("/1/slow")
		<-arrived // it has read the session
		w.as.RevokeAccess()
		b.must(b.get("/0/me"), http.StatusOK, "ada")
		if now := b.get("/0/holds").body; now == old {
			t.Fatal("nothing was saved")
		}
		letGo()
		b.must(late(), http.StatusOK, "slow")
		if b.get("/1/holds").body != old {
			t.Error("scs has put nothing back: the caveat is not true any more")
		}
		b.must(b.get("/1/me"), http.StatusOK, "ada")
		w.presented(1)
		if !w.as.Alive(b.get("/0/holds").body) {
			t.Error("the session holds what is spent")
		}
	})

	t.Run("a refresh after the header is saved", func(t *testing.T) {
		w := startSCS(t)
		b := visit(t, w.world, w.site(nil), "/0/sign-in")
		old := b.get("/1/holds").body
		w.as.RevokeAccess()
		b.must(b.get("/0/stream"), http.StatusOK, "begin")
		b.must(b.get("/1/me"), http.StatusOK, "ada")
		w.presented(1)
		if b.get("/1/holds").body == old {
			t.Error("nothing was saved")
		}
	})

	t.Run("a session that comes back after a logout has tokens that are over", func(t *testing.T) {
		slow, arrived, letGo := held(t)
		w := startSCS(t)
		b := visit(t, w.world, w.site(slow), "/0/sign-in")
		old := b.get("/0/holds").body
		cookies := b.jar.Cookies(parsed(t, b.URL))
		late := b.later("/1/slow")
		<-arrived
		b.must(b.do("POST", "/0/sign-out", nil, nil), http.StatusOK, "")
		letGo()
		late()
		b.jar.SetCookies(parsed(t, b.URL), cookies) // who has kept it
		if _, found, _ := w.replicas[0].Sessions.Store.Find(cookies[0].Value); !found {
			t.Error("scs has brought nothing back: the caveat is not true any more")
		}
		b.must(b.get("/0/me"), http.StatusUnauthorized, "")
		w.presented(0)
		if _, found, _ := w.replicas[0].Sessions.Store.Find(cookies[0].Value); found {
			t.Error("it is still there")
		}
		if w.as.Alive(old) {
			t.Error("the refresh token lives")
		}
	})

	for _, how := range []string{"/0/sign-out?refresh=first", "/0/sign-out?refresh=first&forget=all"} {
		t.Run("a logout has the last word, though its request has refreshed: "+how, func(t *testing.T) {
			w := startSCS(t)
			b := visit(t, w.world, w.site(nil), "/0/sign-in")
			w.as.RevokeAccess()
			b.must(b.do("POST", how, nil, nil), http.StatusOK, "")
			w.presented(1)
			if all, err := w.replicas[0].Sessions.Store.(*memstore.MemStore).All(); err != nil || len(all) != 0 {
				t.Errorf("%d sessions, %v", len(all), err)
			}
		})
	}

	t.Run("a sign-in ends the session before it", func(t *testing.T) {
		w := startSCS(t)
		b := visit(t, w.world, w.site(nil), "/0/sign-in")
		old := b.get("/0/holds").body
		name := b.jar.Cookies(parsed(t, b.URL))[0].Value
		b.must(b.do("POST", "/0/sign-in", nil, nil), http.StatusOK, "")
		if b.jar.Cookies(parsed(t, b.URL))[0].Value == name {
			t.Error("the session has kept its name")
		}
		b.must(b.get("/1/me"), http.StatusOK, "ada")
		if now := b.get("/0/holds").body; now == old || w.as.Alive(old) || !w.as.Alive(now) {
			t.Error("the old session lives, or the new one does not")
		}
	})
}

// What is said of the way before is so.
func TestSCSAndOAuth2AreNotEnough(t *testing.T) {
	gob.Register(oauth2.Token{})
	w := start(t)
	sessions := scs.New()
	sessions.Store = memstore.NewWithCleanupInterval(0)
	old := &before{sessions, &oauth2.Config{
		ClientID: "bff", Endpoint: oauth2.Endpoint{TokenURL: w.as.TokenURL(), AuthStyle: oauth2.AuthStyleInParams},
	}, w.api.URL}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /me", old.me)
	mux.HandleFunc("POST /sign-in", func(rw http.ResponseWriter, r *http.Request) {
		t := recipes.ToOAuth2(w.as.SignIn("ada"))
		t.Expiry = time.Now().Add(-time.Second)
		sessions.Put(r.Context(), "token", *t)
	})
	b := visit(t, w, sessions.LoadAndSave(mux), "/sign-in")
	gate := authtest.NewGate()
	w.as.FailNext(1, gate.Hold)
	one := b.later("/me")
	<-gate.Arrived()
	b.must(b.get("/me"), http.StatusOK, "ada") // by the same refresh token
	gate.Open()
	if a := one(); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/login" {
		t.Errorf("the other answer is %s", a.Status)
	}
	if c := w.as.Counts(); c.Presentations != 2 || c.Reuses != 1 {
		t.Errorf("%d presentations and %d reuses: it has become better", c.Presentations, c.Reuses)
	}
}
