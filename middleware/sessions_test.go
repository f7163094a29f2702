package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport/dpop"
)

// counted is a Store that counts, fails, and holds a write up.
type counted struct {
	tokencache.Store
	mu            sync.Mutex
	loads, writes int
	err           error
	before        func(key string, value []byte) // a write
}

func (c *counted) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	c.mu.Lock()
	c.loads++
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return tokencache.Entry{}, err
	}
	return c.Store.Load(ctx, key)
}

func (c *counted) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	c.mu.Lock()
	c.writes++
	err, before := c.err, c.before
	c.mu.Unlock()
	if before != nil {
		before(key, value)
	}
	if err != nil {
		return tokencache.Entry{}, false, err
	}
	return c.Store.Swap(ctx, key, old, value, ttl)
}

func (c *counted) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// keeping is an Authenticator with Sessions that takes any access token.
func keeping(as tokencache.Refresher, s *middleware.Sessions) *middleware.Authenticator {
	return &middleware.Authenticator{
		Coordinator: &tokencache.Coordinator{Refresher: as},
		Cookies:     middleware.Cookies{InsecureNoTLS: true},
		Sessions:    s,
	}
}

// T-F3: a browser that was made to have a session before a sign-in does not share
// what it has then.
func TestASessionGetsANewNameWithEachSignIn(t *testing.T) {
	a := keeping(new(binding), &middleware.Sessions{})
	first := signIn(t, a, map[string]string{"rebearer-session": strings.Repeat("A", 43)}, sized(10))
	second := signIn(t, a, first, sized(20))
	if first["rebearer-session"] == strings.Repeat("A", 43) || first["rebearer-session"] == second["rebearer-session"] || len(first["rebearer-session"]) != 43 {
		t.Errorf("%v, then %v", first, second)
	}
	if opened(t, a, first) != "" {
		t.Error("the first one still works")
	}
	if len(opened(t, a, second)) != 20 {
		t.Error("the second one does not work")
	}
}

// A session ends when nobody uses it, and after a time in any case.
func TestASessionHasALife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := keeping(new(binding), &middleware.Sessions{Idle: time.Hour, Absolute: 10 * time.Hour})
		idle := signIn(t, a, nil, sized(10))
		time.Sleep(time.Hour)
		if opened(t, a, idle) != "" {
			t.Error("it outlives Idle")
		}
		used := signIn(t, a, nil, sized(10))
		for range 11 { // each time just before its end
			time.Sleep(54 * time.Minute)
			if opened(t, a, used) == "" {
				t.Fatal("it was used, and has ended")
			}
		}
		time.Sleep(6 * time.Minute)
		if opened(t, a, used) != "" {
			t.Error("it outlives Absolute")
		}
	})
}

// One read for a request, and a write now and then.
func TestASessionIsWrittenNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counted{Store: &tokencache.MemoryStore{}}
		a := keeping(new(binding), &middleware.Sessions{Store: store, Idle: 16 * time.Minute})
		has := signIn(t, a, nil, sized(10))
		store.loads, store.writes = 0, 0
		for range 60 {
			opened(t, a, has)
			time.Sleep(time.Second)
		}
		if store.loads != 60 || store.writes > 1 {
			t.Errorf("%d reads and %d writes for 60 requests in a minute", store.loads, store.writes)
		}
	})
}

// B32: a Store that fails proves nothing.
func TestASessionIsNotLostWithItsStore(t *testing.T) {
	store := &counted{Store: &tokencache.MemoryStore{}}
	a := keeping(new(binding), &middleware.Sessions{Store: store})
	a.Public = []string{"/about"}
	has := signIn(t, a, nil, sized(10))
	store.fail(errors.New("connection refused"))
	serve := func(h http.Handler, method, path string, header http.Header) *http.Response {
		in := httptest.NewRequest(method, path, nil)
		for name, value := range header {
			in.Header[name] = value
		}
		in.AddCookie(&http.Cookie{Name: "rebearer-session", Value: has["rebearer-session"]})
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, in)
		return rec.Result()
	}
	for name, row := range map[string]struct {
		path   string
		header http.Header
		status int
	}{
		"a page":        {"/", navigating, 503},
		"a fetch":       {"/", fetching, 503},
		"a public page": {"/about", navigating, 200},
	} {
		if got := serve(a.Handler(still), "GET", row.path, row.header); got.StatusCode != row.status || len(got.Cookies()) > 0 {
			t.Errorf("%s: %d, %v", name, got.StatusCode, got.Cookies())
		}
	}
	if got := serve(a.RefreshHandler(), "POST", "/auth/refresh", fetching); got.StatusCode != 503 || len(got.Cookies()) > 0 {
		t.Errorf("a refresh: %d, %v", got.StatusCode, got.Cookies())
	}
	in := httptest.NewRequest("POST", "/logout", nil)
	in.AddCookie(&http.Cookie{Name: "rebearer-session", Value: has["rebearer-session"]})
	if err := a.SignOut(httptest.NewRecorder(), in); err == nil {
		t.Error("a logout that could not be is none")
	}
	if err := a.SignIn(httptest.NewRecorder(), httptest.NewRequest("POST", "/login", nil), sized(10)); err == nil {
		t.Error("a sign-in that could not be is none")
	}
	store.fail(nil)
	if opened(t, a, has) == "" {
		t.Error("it is lost")
	}
}

// B51: what a newer version has written, during a deploy, is no reason to sign in.
func TestASessionOfAnUnknownFormatIsNotLost(t *testing.T) {
	store := &counted{Store: &tokencache.MemoryStore{}}
	a := keeping(new(binding), &middleware.Sessions{Store: store})
	var key string
	store.before = func(k string, _ []byte) { key = k }
	has := signIn(t, a, nil, sized(10))
	now, err := store.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := store.Swap(t.Context(), key, now.Version, []byte("\x02s of a newer version"), time.Hour); !ok {
		t.Fatal(err)
	}
	in := httptest.NewRequest("GET", "/", nil)
	in.Header["Sec-Fetch-Mode"], in.Header["Sec-Fetch-Dest"] = navigating["Sec-Fetch-Mode"], navigating["Sec-Fetch-Dest"]
	in.AddCookie(&http.Cookie{Name: "rebearer-session", Value: has["rebearer-session"]})
	rec := httptest.NewRecorder()
	a.Handler(still).ServeHTTP(rec, in)
	if rec.Code != 503 || len(rec.Result().Cookies()) > 0 {
		t.Errorf("%d, %v", rec.Code, rec.Result().Cookies())
	}
}

// B31, T-D6: a response that is on its way when the session ends does not bring it
// back.
func TestAnEndedSessionIsNotWrittenAgain(t *testing.T) {
	store := &counted{Store: &tokencache.MemoryStore{}}
	a := keeping(new(binding), &middleware.Sessions{Store: store})
	has := signIn(t, a, nil, sized(10))
	in := httptest.NewRequest("GET", "/", nil)
	in.AddCookie(&http.Cookie{Name: "rebearer-session", Value: has["rebearer-session"]})
	a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := tokencache.FromContext(r.Context())
		if _, err := c.Refresh(r.Context(), c.Token()); err != nil {
			t.Error(err)
		}
		// On another replica, of which this process knows nothing.
		other := keeping(new(binding), &middleware.Sessions{Store: store})
		out := httptest.NewRequest("POST", "/logout", nil)
		out.AddCookie(&http.Cookie{Name: "rebearer-session", Value: has["rebearer-session"]})
		if err := other.SignOut(httptest.NewRecorder(), out); err != nil {
			t.Error(err)
		}
	})).ServeHTTP(httptest.NewRecorder(), in)
	if got := opened(t, a, has); got != "" {
		t.Errorf("it is back, with %q", got)
	}
}

// B53: what came after the header is kept nevertheless: nothing is parked.
func TestASessionKeepsWhatCameAfterTheHeader(t *testing.T) {
	store := &tokencache.MemoryStore{}
	a := keeping(new(binding), &middleware.Sessions{Store: store})
	has := signIn(t, a, nil, sized(10))
	in := httptest.NewRequest("GET", "/", nil)
	in.AddCookie(&http.Cookie{Name: "rebearer-session", Value: has["rebearer-session"]})
	a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		c := tokencache.FromContext(r.Context())
		if _, err := c.Refresh(r.Context(), c.Token()); err != nil {
			t.Error(err)
		}
	})).ServeHTTP(httptest.NewRecorder(), in)
	other := keeping(new(binding), &middleware.Sessions{Store: store}) // it knows of no exchange
	if got := opened(t, other, has); got != "A1" {
		t.Errorf("%q", got)
	}
}

// Two replicas write: the one is only told that the session was used, or finds
// other tokens and leaves them.
func TestTwoWhoWriteASessionAtOnce(t *testing.T) {
	for name, row := range map[string]struct {
		other string // what the other does
		want  string
	}{
		"one of them uses it":    {"use", "A1"},
		"both of them renew it":  {"renew", "A7"},
		"the other one ends it":  {"end", ""},
		"the other one is early": {"", "A1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &counted{Store: &tokencache.MemoryStore{}}
				a := keeping(new(binding), &middleware.Sessions{Store: store, Idle: time.Hour})
				b := keeping(&binding{refreshed: 6}, &middleware.Sessions{Store: store, Idle: time.Hour})
				has := signIn(t, a, nil, sized(10))
				in := httptest.NewRequest("GET", "/", nil)
				in.AddCookie(&http.Cookie{Name: "rebearer-session", Value: has["rebearer-session"]})
				a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					c := tokencache.FromContext(r.Context())
					c.Refresh(r.Context(), c.Token())
					switch row.other {
					case "use":
						time.Sleep(10 * time.Minute)
						shows(t, b, has, false)
					case "renew":
						shows(t, b, has, true)
					case "end":
						b.SignOut(httptest.NewRecorder(), in)
					}
				})).ServeHTTP(httptest.NewRecorder(), in)
				if got := opened(t, a, has); got != row.want {
					t.Errorf("%q, want %q", got, row.want)
				}
			})
		})
	}
}

// T-F14
func TestASessionHoldsTheKey(t *testing.T) {
	a := keeping(new(binding), &middleware.Sessions{})
	key, err := new(dpop.Prover).NewKey()
	if err != nil {
		t.Fatal(err)
	}
	bound := tokencache.NewToken(tokencache.TokenFields{Access: "A0", Refresh: "R0", Type: "DPoP", Key: key})
	if got, _ := shows(t, a, signIn(t, a, nil, bound), false); got.Type() != "DPoP" || !got.Same(bound) || got.Key() == nil {
		t.Errorf("%v", got.Type())
	}
}

// T-F7: names that nobody was given.
func TestNamesOfNoSession(t *testing.T) {
	store := &counted{Store: &tokencache.MemoryStore{}}
	a := keeping(new(binding), &middleware.Sessions{Store: store})
	name := signIn(t, a, nil, sized(10))["rebearer-session"]
	for _, name := range []string{"", "x", strings.Repeat("A", 43), name[:42], name + "A", " " + name[1:], strings.ToUpper(name)} {
		if opened(t, a, map[string]string{"rebearer-session": name}) != "" {
			t.Errorf("%q", name)
		}
	}
	if opened(t, a, map[string]string{"rebearer-session": name}) == "" {
		t.Error("and its own does not open it")
	}
}

// B28: a memory that is full takes no more sign-ins, and keeps those that there are.
func TestSessionsAreNotEvicted(t *testing.T) {
	store := &tokencache.MemoryStore{MaxBytes: 64 << 10}
	a := keeping(new(binding), &middleware.Sessions{Store: store})
	a.Coordinator.Store, a.Coordinator.Realm = store, "as bff"
	var all []map[string]string
	for {
		w := httptest.NewRecorder()
		if err := a.SignIn(w, httptest.NewRequest("POST", "/login", nil), sized(1000)); err != nil {
			break
		}
		all = append(all, jarOf(w.Result().Cookies()))
		if len(all) > 1000 {
			t.Fatal("it is never full")
		}
	}
	for i := range 100 { // parked successors that find no place
		a.Coordinator.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Access: "A", Refresh: fmt.Sprint("R", i)}))
	}
	for i, has := range all {
		if opened(t, a, has) == "" {
			t.Fatalf("of %d sessions, number %d is gone", len(all), i)
		}
	}
	if t.Logf("%d sessions of 1,000 bytes in 64 KiB", len(all)); len(all) < 30 {
		t.Errorf("%d sessions in 64 KiB", len(all))
	}
}
