package browser

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/jws"
	"github.com/rebearer/rebearer/internal/redisd"
)

// lodging is a world and two replicas of examples/bff that take turns, whose
// tokens live in one of the places.
type lodging struct {
	*world
	*site
	place string
	brief atomic.Bool // the access tokens of sign-ins have all but ended

	mu     sync.Mutex
	access []string // all that were issued, in order
	spent  []string // refresh tokens, likewise
}

// everywhere runs a test for each place, with two replicas in one process and
// with two processes that share a Redis.
func everywhere(t *testing.T, test func(l *lodging)) {
	for _, place := range []string{"plain", "sealed", "sessions"} {
		t.Run(place+", two replicas in one process", func(t *testing.T) {
			l := lodge(t, place)
			l.site = open(t, l.process(l.front(), l.env("BFF_REPLICAS=2")...))
			test(l)
		})
		t.Run(place+", two processes and Redis", func(t *testing.T) {
			l := lodge(t, place)
			env := l.env("BFF_REDIS_URL=redis://" + redisd.Start(t).Addr())
			if place == "sealed" {
				env = append(env, "BFF_SECRET="+strings.Repeat("of both ", 4))
			}
			front := l.front()
			replicas := []http.Handler{l.process(front, env...), l.process(front, env...)}
			var turn atomic.Int64
			l.site = open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				replicas[turn.Add(1)%2].ServeHTTP(w, r)
			}))
			test(l)
		})
	}
}

func lodge(t *testing.T, place string) *lodging {
	t.Helper()
	l := &lodging{world: start(t), place: place}
	l.as.Mutate(func(answer map[string]any) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.brief.Load() && len(l.access) == 0 {
			answer["access_token"], answer["expires_in"] = l.ending(), 1
		}
		l.access = append(l.access, answer["access_token"].(string))
		l.spent = append(l.spent, answer["refresh_token"].(string))
	})
	return l
}

// env has the grant of RFC 6749, whose answers can be looked at.
func (l *lodging) env(more ...string) []string {
	return append(more, insecure, "BFF_TOKENS="+l.place, "BFF_REFRESH_STYLE=oauth2", "BFF_REVOKE_URL="+l.as.RevokeURL())
}

// ending is an access token that the server could have issued, of a second or two.
func (l *lodging) ending() string {
	now := time.Now()
	token, err := jws.Sign("HS256", l.as.Key(), map[string]any{"typ": "at+jwt"}, map[string]any{
		"iss": l.as.URL, "aud": "api", "sub": "alice", "jti": "brief", "iat": now.Unix(), "exp": now.Unix() + 1,
	})
	must(l.t, err)
	return token
}

// ended waits until it has.
func (l *lodging) ended() {
	l.t.Helper()
	end := time.Now().Truncate(time.Second).Add(time.Second)
	eventually(l.t, func() bool { return time.Now().After(end) }, func() string { return "the clock stands still" })
}

// newest returns the refresh token that was issued last.
func (l *lodging) newest() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spent[len(l.spent)-1]
}

var jwt = regexp.MustCompile(`eyJ[\w-]+\.eyJ`)

// readable returns the cookies in which somebody who has the jar can read a token:
// as it is, or in what some base64 hides.
func (l *lodging) readable(u *user) (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range u.jar() {
		forms := []string{c.Value}
		for _, e := range []*base64.Encoding{base64.RawURLEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.StdEncoding} {
			if plain, err := e.DecodeString(strings.TrimLeft(c.Value, "~")); err == nil {
				forms = append(forms, string(plain))
			}
		}
		if slices.ContainsFunc(forms, func(form string) bool {
			return jwt.MatchString(form) || slices.ContainsFunc(slices.Concat(l.access, l.spent), func(token string) bool {
				_, payload, _ := strings.Cut(token, ".")
				return strings.Contains(form, token) || payload != "" && strings.Contains(form, payload)
			})
		}) {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	return names
}

// hides fails unless only plain cookies show tokens, and none of them to scripts.
func (l *lodging) hides(u *user, b *tab) {
	l.t.Helper()
	want := map[string][]string{"plain": {accessName, refresh}}[l.place]
	if got := l.readable(u); !slices.Equal(got, want) {
		l.t.Errorf("tokens can be read in the cookies %v, want %v", got, want)
	}
	jar := u.jar()
	if len(jar) == 0 {
		l.t.Error("there are no cookies")
	}
	for _, c := range jar {
		if !c.HTTPOnly || c.SameSite != "Lax" || c.Path != "/" {
			l.t.Errorf("the cookie %s: http only %t, %s, %s", c.Name, c.HTTPOnly, c.SameSite, c.Path)
		}
	}
	if seen, err := js[string](b, "document.cookie"); err != nil || seen != "" {
		l.t.Errorf("scripts see %q, %v", seen, err)
	}
}

// B52, B63, B70: renewed before a page, while it is made, and by the browser.
func TestEveryPlaceInARealBrowserKeepsWhatIsRenewed(t *testing.T) {
	everywhere(t, func(l *lodging) {
		l.brief.Store(true)
		u := person(l.t)
		b := u.signIn(l.site)
		l.ended()
		b.open(l.URL + "/").sees("Signed in as alice")
		l.counts(1)
		l.hides(u, b)

		l.as.RevokeAccess()
		b.open(l.URL + "/").sees("Signed in as alice")
		b.open(l.URL + "/").sees("Signed in as alice")
		l.counts(2)
		l.hides(u, b)

		l.as.RevokeAccess()
		b.open(l.URL + "/boundary").sees(renewed)
		l.counts(3)

		b.open(l.URL + "/").until("window.rebearer")
		l.as.RevokeAccess()
		got, err := js[string](b, `rebearer.fetch("/boundary").then(async (r) => r.status + " " + (await r.text()).includes("alice"))`)
		if err != nil || got != "200 true" {
			l.t.Errorf("a fetch: %s, %v", got, err)
		}
		l.counts(4)
		l.as.RevokeAccess()
		if got, err = js[string](b, `rebearer.fetch("/fanout?n=5").then((r) => r.text())`); err != nil || strings.TrimSpace(got) != `{"ok":5,"failed":0}` {
			l.t.Errorf("five calls: %s, %v", got, err)
		}
		l.counts(5)
		l.hides(u, b)
		if !l.as.Alive(l.newest()) {
			l.t.Error("the session is lost")
		}
	})
}

// B45, B55, B63: all tabs of a browser at once.
func TestEveryPlaceInARealBrowserServesFiveTabsByOneRefresh(t *testing.T) {
	everywhere(t, func(l *lodging) {
		l.brief.Store(true)
		u := person(l.t)
		u.signIn(l.site).sees("Signed in as alice")
		tabs := u.tabs(5)
		l.ended()
		for round := range 3 {
			together(tabs, l.URL+"/?round="+string(rune('a'+round)))
			for _, b := range tabs {
				b.until("location.search.endsWith('" + string(rune('a'+round)) + "')")
				b.sees("Signed in as alice")
			}
			l.counts(round + 1)
			l.as.RevokeAccess()
		}
		tabs[0].open(l.URL + "/").sees("Signed in as alice")
		l.counts(4)
		l.hides(u, tabs[0])
	})
}

// B53: a stream has no header left for cookies.
func TestEveryPlaceInARealBrowserKeepsWhatAStreamRenews(t *testing.T) {
	everywhere(t, func(l *lodging) {
		u := person(l.t)
		b := u.signIn(l.site)
		gate := authtest.NewGate()
		l.api.Intercept(gate.Hold)
		l.door.forget()
		b.head(l.URL + "/stream?delay=0s")
		held(l.t, gate)
		b.sees("begin")
		l.as.RevokeAccess()
		gate.Open()
		b.sees("alice\nend")
		l.counts(1)
		for _, v := range l.door.visits("GET /stream") {
			if len(v.cookies) > 0 {
				l.t.Error("there were cookies after the header")
			}
		}
		for range 2 { // by each replica
			b.open(l.URL + "/").sees("Signed in as alice")
		}
		if l.counts(1); !l.as.Alive(l.newest()) {
			l.t.Error("the session is lost")
		}
		l.hides(u, b)
	})
}

// B31, B58: nothing is left, for nobody who has the old cookies either.
func TestEveryPlaceInARealBrowserIsLeftByALogout(t *testing.T) {
	everywhere(t, func(l *lodging) {
		u := person(l.t)
		b := u.signIn(l.site)
		b.sees("Signed in as alice")
		l.as.RevokeAccess()
		b.open(l.URL + "/").sees("Signed in as alice")
		thief := person(l.t)
		thief.takes(u)
		b.click("header form button")
		b.arrives("/login")
		if left := u.jar(); len(left) != 0 || l.as.Alive(l.newest()) {
			l.t.Errorf("%d cookies are left, and the session is alive: %t", len(left), l.as.Alive(l.newest()))
		}
		b.open(l.URL + "/").arrives("/login")
		l.as.RevokeAccess() // until it ends, an access token in a cookie works
		thief.tab().open(l.URL + "/").arrives("/login")
		l.counts(1)
	})
}
