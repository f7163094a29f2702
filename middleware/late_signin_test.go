package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// telling is a Revoker that does something else meanwhile.
type telling func()

func (f telling) Revoke(context.Context, tokencache.Token) error { f(); return nil }

// within serves inside of the Handler, with these cookies.
func within(a *middleware.Authenticator, has map[string]string, h http.HandlerFunc) []*http.Cookie {
	in := httptest.NewRequest("GET", "/", nil)
	for name, value := range has {
		in.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	a.Handler(h).ServeHTTP(rec, in)
	return rec.Result().Cookies()
}

var another = tokencache.NewToken(tokencache.TokenFields{Access: "another", Refresh: "R99"})

// B58: the header goes out while the tokens are put away, as an
// http.TimeoutHandler has it that gives up. The SignIn is refused, and has done
// nothing: the old session works, and no new one is left.
func TestASignInThatIsOvertakenByTheHeaderIsRefused(t *testing.T) {
	store := &counted{Store: &tokencache.MemoryStore{}}
	a := keeping(new(binding), &middleware.Sessions{Store: store})
	has := signIn(t, a, nil, sized(10))
	var created string
	got := within(a, has, func(w http.ResponseWriter, r *http.Request) {
		store.before = func(key string, _ []byte) {
			created, store.before = key, nil
			w.(http.Flusher).Flush()
		}
		if a.SignIn(w, r, another) == nil {
			t.Error("it says that the browser has the tokens")
		}
	})
	if len(got) > 0 || opened(t, a, has) == "" {
		t.Errorf("%v; the old session: %q", got, opened(t, a, has))
	}
	if e, err := store.Load(t.Context(), created); err != nil || e.Version != "" {
		t.Errorf("the new session is left in the Store: %v", err)
	}
}

// B30, B58: the header goes out while the old session is ended. It has the new
// cookies by then, or those that delete.
func TestAHeaderThatGoesOutWhileASessionIsEndedHasTheCookies(t *testing.T) {
	for name, do := range map[string]func(*middleware.Authenticator, http.ResponseWriter, *http.Request) error{
		"sign-in": func(a *middleware.Authenticator, w http.ResponseWriter, r *http.Request) error {
			return a.SignIn(w, r, another)
		},
		"logout": func(a *middleware.Authenticator, w http.ResponseWriter, r *http.Request) error {
			return a.SignOut(w, r)
		},
	} {
		for place, set := range places {
			t.Run(name+" with "+place, func(t *testing.T) {
				a := keeping(new(binding), nil)
				set(t, &tokencache.MemoryStore{})(nil, a)
				has, ended := signIn(t, a, nil, sized(10)), false
				got := within(a, has, func(w http.ResponseWriter, r *http.Request) {
					a.Coordinator.Revoker = telling(func() { ended = true; w.(http.Flusher).Flush() })
					if err := do(a, w, r); err != nil {
						t.Error(err)
					}
				})
				if !ended || len(got) == 0 || opened(t, a, has) != "" {
					t.Errorf("ended: %t; cookies %v", ended, got)
				}
				if got := opened(t, a, jarOf(got)); name == "sign-in" && got != another.Access() {
					t.Errorf("the new session: %q", got)
				}
			})
		}
	}
}
