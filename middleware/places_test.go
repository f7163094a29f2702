package middleware_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/redisstore"
	"github.com/rebearer/rebearer/transport"
)

// What must hold wherever the tokens are between requests, by two replicas that
// take turns.
var places = map[string]func(t *testing.T, store tokencache.Store) option{
	"plain cookies":  func(*testing.T, tokencache.Store) option { return with(func(*middleware.Authenticator) {}) },
	"sealed cookies": func(*testing.T, tokencache.Store) option { return with(seal) },
	"sessions": func(_ *testing.T, store tokencache.Store) option {
		return with(func(a *middleware.Authenticator) { a.Sessions = &middleware.Sessions{Store: store} })
	},
}

func seal(a *middleware.Authenticator) {
	a.Cookies.Sealed, a.Cookies.Secrets = true, [][]byte{bytes.Repeat([]byte("s"), 32)}
}

// everywhere runs a test for each place, in memory and on Redis.
func everywhere(t *testing.T, test func(t *testing.T, h *house)) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			t.Run("in memory", func(t *testing.T) {
				store := &tokencache.MemoryStore{}
				test(t, build(t, place(t, store), func() tokencache.Store { return store }))
			})
			t.Run("on Redis", func(t *testing.T) {
				server := redisd.Start(t)
				open := func() tokencache.Store {
					store, err := redisstore.Open("redis://" + server.Addr())
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { store.Close() })
					return store
				}
				test(t, build(t, place(t, open()), open))
			})
		})
	}
}

// house is a BFF of two replicas behind one address.
type house struct {
	*site
	replicas [2]*world
	*ledger
}

// ledger has what was issued at sign-ins.
type ledger struct {
	mu  sync.Mutex
	all []tokencache.Token
}

func (l *ledger) note(t tokencache.Token) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, t)
}

func (l *ledger) last() tokencache.Token {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[len(l.all)-1]
}

func build(t *testing.T, place option, store func() tokencache.Store) *house {
	w := start(t, place)
	h := &house{replicas: [2]*world{w, w.twin(place)}, ledger: new(ledger)}
	var sites [2]http.Handler
	for i, r := range h.replicas {
		r.auth.Coordinator.Store, r.auth.Coordinator.Realm = store(), "as bff"
		sites[i] = r.rooms(h.ledger)
	}
	var turn atomic.Int64
	h.site = w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		sites[turn.Add(1)%2].ServeHTTP(rw, r)
	}))
	return h
}

// twin is another replica of the same program.
func (w *world) twin(place option) *world {
	r := *w
	r.auth = &middleware.Authenticator{Cookies: middleware.Cookies{InsecureNoTLS: true}, Verifier: &middleware.Verifier{
		Algorithms: []string{"HS256"}, Key: w.as.Key(), Issuer: w.as.URL, Audience: "api",
	}}
	place(nil, r.auth)
	endpoint := &transport.TokenEndpoint{URL: w.as.TokenURL(), RevocationURL: w.as.RevokeURL(), ClientID: "bff", Base: w.base}
	r.auth.Coordinator = &tokencache.Coordinator{Refresher: endpoint, Revoker: endpoint}
	w.t.Cleanup(func() { r.auth.Coordinator.Wait(context.Background()) })
	return &r
}

// rooms is all that a replica serves.
func (w *world) rooms(issued *ledger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/auth/refresh", w.auth.RefreshHandler())
	mux.Handle("/logout", w.auth.LogoutHandler())
	mux.HandleFunc("/login", func(rw http.ResponseWriter, r *http.Request) {
		user := r.FormValue("user")
		t := w.as.SignIn(user)
		issued.note(t)
		if r.FormValue("ended") != "" {
			t = tokencache.NewToken(tokencache.TokenFields{Access: w.stale(user, time.Hour), Refresh: t.Refresh()})
		}
		if err := w.auth.SignIn(rw, r, t); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
		}
	})
	inside := http.NewServeMux()
	mux.Handle("/", w.auth.Handler(inside))
	inside.HandleFunc("/stream", func(rw http.ResponseWriter, r *http.Request) {
		io.WriteString(rw, "begun ")
		rw.(http.Flusher).Flush()
		w.as.RevokeAccess()
		status, _ := w.get(r.Context(), "/users/me")
		fmt.Fprint(rw, status)
	})
	inside.HandleFunc("/tokens", func(rw http.ResponseWriter, r *http.Request) {
		t := tokencache.FromContext(r.Context()).Token()
		fmt.Fprint(rw, t.Access(), " ", t.Refresh())
	})
	inside.Handle("/", w.page())
	return mux
}

// enter signs a browser in, with an access token that has ended or not.
func (h *house) enter(user string, ended bool) *browser {
	b := h.browser()
	b.again(user, ended)
	return b
}

func (b *browser) again(user string, ended bool) {
	b.w.t.Helper()
	form := url.Values{"user": {user}}
	if ended {
		form.Set("ended", "1")
	}
	must(b.w.t, b.do("POST", "/login", form.Encode(), fetching), 200, "")
}

// copied is another browser with the same cookies: what a request that is on its
// way has, or a thief.
func (b *browser) copied() *browser {
	c := b.site.browser()
	u, _ := url.Parse(b.URL)
	c.jar.SetCookies(u, b.jar.Cookies(u))
	return c
}

// names are of the cookies that it has, in order.
func (b *browser) names() (all []string) {
	u, _ := url.Parse(b.URL)
	for _, c := range b.jar.Cookies(u) {
		all = append(all, c.Name)
	}
	slices.Sort(all)
	return all
}

// B63: renewed before the handler, once, and handed over.
func TestEveryPlaceKeepsWhatIsRenewedBeforeAPage(t *testing.T) {
	everywhere(t, func(t *testing.T, h *house) {
		b := h.enter("ada", true)
		for range 4 {
			must(t, b.visit("/"), 200, "page of ada, ada")
		}
		h.w.presentations(1)
	})
}

// B52: renewed while the handler runs.
func TestEveryPlaceKeepsWhatIsRenewedDuringAPage(t *testing.T) {
	everywhere(t, func(t *testing.T, h *house) {
		b := h.enter("ada", false)
		for i := range 3 {
			h.w.as.RevokeAccess()
			must(t, b.visit("/"), 200, "page of ada")
			must(t, b.visit("/"), 200, "page of ada")
			h.w.presentations(i + 1)
		}
	})
}

// B53: renewed when the header had gone out.
func TestEveryPlaceKeepsWhatIsRenewedTooLate(t *testing.T) {
	everywhere(t, func(t *testing.T, h *house) {
		b := h.enter("ada", false)
		for i := range 3 {
			must(t, b.visit("/stream"), 200, "begun 200")
			h.w.presentations(i + 1)
			must(t, b.visit("/"), 200, "page of ada")
			must(t, b.visit("/"), 200, "page of ada")
			h.w.presentations(i + 1)
		}
	})
}

// B45, B55, T-D15: the tabs of a browser at once, and then again.
func TestEveryPlacePresentsOnceForAllTabs(t *testing.T) {
	everywhere(t, func(t *testing.T, h *house) {
		b := h.enter("ada", true)
		late := b.copied() // its answers get lost
		for round := range 3 {
			var tabs sync.WaitGroup
			for range 20 {
				tabs.Go(func() {
					if a, err := b.try("GET", "/", "", fetching); err != nil || a.StatusCode != 200 {
						t.Error(a, err)
					}
				})
			}
			tabs.Wait()
			h.w.presentations(round + 1)
			h.w.as.RevokeAccess()
		}
		must(t, late.visit("/"), 200, "page of ada")
		must(t, b.visit("/"), 200, "page of ada")
		h.w.presentations(4) // the last tokens were rejected
	})
}

// B72: the browser asks for it.
func TestEveryPlaceIsRenewedByTheBrowser(t *testing.T) {
	everywhere(t, func(t *testing.T, h *house) {
		b := h.enter("ada", true)
		must(t, b.do("POST", "/auth/refresh", "", fetching), 204, "")
		must(t, b.do("POST", "/auth/refresh", "", fetching), 204, "")
		must(t, b.visit("/"), 200, "page of ada")
	})
}

// B31: a logout while a refresh is under way.
func TestEveryPlaceIsLeftForGood(t *testing.T) {
	everywhere(t, func(t *testing.T, h *house) {
		b := h.enter("ada", true)
		before := b.copied()
		gate := newGate(h.w)
		var page sync.WaitGroup
		page.Go(func() { before.try("GET", "/", "", navigating) })
		<-gate.Arrived()
		if a := b.do("POST", "/logout", "", fetching); a.StatusCode != 204 {
			t.Errorf("logout: %d", a.StatusCode)
		}
		gate.Open()
		page.Wait()
		if left := b.names(); len(left) > 0 {
			t.Errorf("the browser still has %v", left)
		}
		for name, b := range map[string]*browser{"the browser": b, "a request on its way": before} {
			if a := b.visit("/"); a.StatusCode != 303 {
				t.Errorf("%s: %d %q", name, a.StatusCode, a.body)
			}
		}
	})
}

// B30, T-F3: another sign-in ends what was there.
func TestEveryPlaceIsTakenOverByASignIn(t *testing.T) {
	everywhere(t, func(t *testing.T, h *house) {
		b := h.enter("ada", true)
		before := b.copied()
		b.again("grace", false)
		must(t, b.visit("/"), 200, "page of grace")
		if a := before.visit("/"); a.StatusCode != 303 {
			t.Errorf("who shows the old cookies: %d %q", a.StatusCode, a.body)
		}
		must(t, b.visit("/"), 200, "page of grace")
		h.w.as.RevokeAccess()
		must(t, b.visit("/"), 200, "page of grace")
	})
}

// B33, B36: the end that was proved, and what is none.
func TestEveryPlaceEndsWithProofAlone(t *testing.T) {
	everywhere(t, func(t *testing.T, h *house) {
		b := h.enter("ada", true)
		h.w.as.Fail(authtest.Answer(503, nil, ""))
		if a := b.visit("/"); a.StatusCode != 503 || len(b.names()) == 0 {
			t.Errorf("%d, cookies %v", a.StatusCode, b.names())
		}
		h.w.as.Fail(nil)
		wait(t, func() bool { return b.visit("/").StatusCode == 200 })
		b.again("grace", true)
		h.w.as.EndSession(h.last().Refresh())
		if a := b.fetch("/"); a.StatusCode != 401 || len(b.names()) == 0 {
			t.Errorf("a fetch: %d, cookies %v", a.StatusCode, b.names())
		}
		if a := b.visit("/"); a.StatusCode != 303 || len(b.names()) > 0 {
			t.Errorf("a page: %d, cookies %v", a.StatusCode, b.names())
		}
	})
}

// B75: nothing that a browser or a Store holds opens anything, but the one
// cookie where it has one.
func TestOnlyPlainCookiesShowTokens(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			store := &dumped{Store: &tokencache.MemoryStore{}}
			h := build(t, place(t, store), func() tokencache.Store { return store })
			b := h.enter("ada", false)
			secrets := []string{h.last().Access(), h.last().Refresh()}
			h.w.as.RevokeAccess()
			must(t, b.visit("/"), 200, "page of ada")
			secrets = append(secrets, strings.Fields(b.visit("/tokens").body)...)
			if len(secrets) != 4 || secrets[1] == secrets[3] {
				t.Fatal(secrets)
			}
			u, _ := url.Parse(b.URL)
			shown := fmt.Sprint(b.jar.Cookies(u))
			for _, secret := range secrets {
				if strings.Contains(shown, secret) && name != "plain cookies" {
					t.Errorf("the browser has %s", secret)
				}
				if store.holds(secret) {
					t.Errorf("the Store has %s", secret)
				}
			}
		})
	}
}

// dumped remembers all that is written.
type dumped struct {
	tokencache.Store
	mu      sync.Mutex
	written bytes.Buffer
}

func (d *dumped) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	d.mu.Lock()
	fmt.Fprintf(&d.written, "%s %s\n", key, value)
	d.mu.Unlock()
	return d.Store.Swap(ctx, key, old, value, ttl)
}

func (d *dumped) holds(secret string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Contains(d.written.Bytes(), []byte(secret))
}

// wait polls, for what takes a Cooldown.
func wait(t *testing.T, until func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !until(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it has not come about")
		}
	}
}
