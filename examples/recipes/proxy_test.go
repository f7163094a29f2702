package recipes_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/transport"
)

// proxy is the recipe in front of the API at target.
func (w *world) proxy(target string) http.Handler {
	w.t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		w.t.Fatal(err)
	}
	return recipes.Proxy(w.auth, u, &transport.Transport{Base: w.base, Origins: []string{target}, MaxBody: 4 << 20})
}

// upstream is an API of the test's own, which lets in whom the authorization
// server calls active, and keeps what it saw.
type upstream struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request // with a good token
	bad  int             // without
}

func (w *world) upstream(h http.HandlerFunc) *upstream {
	up := &upstream{}
	up.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		active := w.active(token)
		up.mu.Lock()
		if active {
			up.seen = append(up.seen, r.Clone(r.Context()))
		} else {
			up.bad++
		}
		up.mu.Unlock()
		if !active {
			rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		h(rw, r)
	}))
	w.t.Cleanup(up.Close)
	return up
}

// active asks the authorization server (RFC 7662).
func (w *world) active(token string) bool {
	resp, err := http.PostForm(w.as.IntrospectURL(), url.Values{"token": {token}, "client_id": {"bff"}})
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return bytes.Contains(body, []byte(`"active":true`))
}

// only returns the one request that came with a good token.
func (up *upstream) only(t *testing.T) *http.Request {
	t.Helper()
	up.mu.Lock()
	defer up.mu.Unlock()
	if len(up.seen) != 1 || up.bad != 1 {
		t.Fatalf("%d requests with a good token and %d without, want one each", len(up.seen), up.bad)
	}
	return up.seen[0]
}

func TestProxyRefreshesOnceForTenCallsAndSetsTheCookies(t *testing.T) {
	w := start(t)
	b := w.browse(w.proxy(w.api.URL))
	b.want("/api/users/me", http.StatusOK, `{"user":"ada"}`)
	w.as.RevokeAccess()
	w.as.ResetCounts()
	var all sync.WaitGroup
	answers := make([]answer, 10)
	for i := range answers {
		all.Go(func() { answers[i] = b.get(fmt.Sprintf("/api/items/%d?x=1", i)) })
	}
	all.Wait()
	for i, a := range answers {
		b.must(a, http.StatusOK, fmt.Sprintf(`{"item":"%d","user":"ada"}`, i))
	}
	b.once()
}

// B82, T-A6
func TestProxySendsTheAPIOurTokenAndNothingThatABrowserMadeUp(t *testing.T) {
	w := start(t)
	up := w.upstream(func(http.ResponseWriter, *http.Request) {})
	b := w.browse(w.proxy(up.URL))
	u, _ := url.Parse(b.URL)
	b.jar.SetCookies(u, []*http.Cookie{{Name: "theme", Value: "dark", Path: "/"}})
	a := b.do("GET", "/api/a%2Fb/c?q=1", nil, http.Header{
		"Authorization":                {"Bearer mine"},
		"Proxy-Authorization":          {"Basic eA=="},
		"Connection":                   {"X-Kept"},
		"Remote-User":                  {"root"},
		"X-Forwarded-User":             {"root"},
		"X_Forwarded_User":             {"root"},
		"X-Forwarded-Email":            {"root@example.com"},
		"X-Forwarded-For":              {"192.0.2.1"},
		"Forwarded":                    {"for=192.0.2.1"},
		"X-Auth-Request-User":          {"root"},
		"X-Auth-Request-Access-Token":  {"x"},
		"X-Auth-Request-Groups":        {"wheel"},
		"X_Auth_Request_Email":         {"root@example.com"},
		"X-MS-CLIENT-PRINCIPAL-NAME":   {"root"},
		"X-Goog-Authenticated-User-Id": {"root"},
		"X-Kept":                       {"no: Connection names it"},
		"X-Custom":                     {"mine"},
	})
	b.must(a, http.StatusOK, "")
	b.once()
	r := up.only(t)
	if got := r.URL.RequestURI(); got != "/a%2Fb/c?q=1" {
		t.Errorf("the API was asked for %s", got)
	}
	if "http://"+r.Host != up.URL {
		t.Errorf("Host %s", r.Host)
	}
	if got := r.Header.Values("Authorization"); len(got) != 1 || got[0] == "Bearer mine" {
		t.Errorf("Authorization %q", got)
	}
	if got := r.Header.Values("Cookie"); len(got) != 1 || got[0] != "theme=dark" {
		t.Errorf("Cookie %q", got)
	}
	known := map[string]bool{ // and nothing else
		"Authorization": true, "Cookie": true, "Accept-Encoding": true, "User-Agent": true,
		"X-Custom": true, "X-Forwarded-For": true, "X-Forwarded-Host": true, "X-Forwarded-Proto": true,
	}
	for name, values := range r.Header {
		if !known[name] {
			t.Errorf("%s: %q came through", name, values)
		}
	}
	if got := r.Header.Get("X-Forwarded-For"); got != "127.0.0.1" {
		t.Errorf("X-Forwarded-For %q", got)
	}
}

// Where a path is public, the Handler leaves the header to programs without a
// session.
func TestProxySendsNoCredentialsOfABrowserThatIsNotSignedIn(t *testing.T) {
	w := start(t)
	w.auth.Public = []string{"/api/open"}
	seen := make(chan http.Header, 1)
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	t.Cleanup(api.Close)
	bff := httptest.NewServer(w.proxy(api.URL))
	t.Cleanup(bff.Close)
	req, err := http.NewRequest("GET", bff.URL+"/api/open", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer mine")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if h := <-seen; resp.StatusCode != http.StatusOK || h.Get("Authorization") != "" {
		t.Errorf("%s, and the API saw Authorization %q", resp.Status, h.Get("Authorization"))
	}
}

// B82
func TestProxyLetsNoCookieOfOurNamesThrough(t *testing.T) {
	w := start(t)
	up := w.upstream(func(rw http.ResponseWriter, r *http.Request) {
		for _, line := range []string{"access=theirs; Path=/", "refresh=theirs", " refresh=theirs; Path=/auth", "theme=dark; Path=/"} {
			rw.Header().Add("Set-Cookie", line)
		}
		if r.URL.Path == "/early" {
			rw.WriteHeader(http.StatusEarlyHints)
		}
	})
	b := w.browse(w.proxy(up.URL))
	for range 2 { // with new tokens, and with nothing to set
		a := b.must(b.get("/api/early"), http.StatusOK, "")
		lines := strings.Join(a.Header["Set-Cookie"], "\n")
		if strings.Contains(lines, "theirs") || !strings.Contains(lines, "theme=dark; Path=/") {
			t.Errorf("Set-Cookie %s", lines)
		}
	}
	b.once()
}

// B52. The API answers the handshake with 401, is asked again, and upgrades.
func TestProxyUpgradesAWebSocketWhoseTokenHasEnded(t *testing.T) {
	w := start(t)
	up := w.upstream(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Add("Set-Cookie", "refresh=theirs; Path=/")
		serveEcho(rw, r)
	})
	b := w.browse(w.proxy(up.URL))
	resp := b.echoes("/api/ws", nil)
	b.upgraded(resp)
	if lines := resp.Header["Set-Cookie"]; len(lines) != 2 {
		t.Errorf("Set-Cookie %q", lines)
	}
	if r := up.only(t); r.URL.Path != "/ws" {
		t.Errorf("the API was asked for %s", r.URL.Path)
	}
	b.echoes("/api/ws", nil)
	b.once()
}

func TestProxyRefusesWhatAnotherSiteAsksFor(t *testing.T) {
	w := start(t)
	up := w.upstream(func(http.ResponseWriter, *http.Request) { t.Error("served") })
	b := w.browse(w.proxy(up.URL))
	for _, site := range []string{"cross-site", "same-site"} {
		b.must(b.do("POST", "/api/x", nil, http.Header{"Sec-Fetch-Site": {site}}), http.StatusForbidden, "")
	}
	_, resp, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(b.URL, "http")+"/api/ws",
		&websocket.DialOptions{HTTPClient: b.http, HTTPHeader: http.Header{"Origin": {"http://elsewhere.example"}}})
	if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Error("a WebSocket of another origin:", resp, err)
	}
	if w.as.Counts().Presentations != 0 {
		t.Error("a refresh token was presented for another site")
	}
}

func TestProxyStreamsEventsAtOnceAcrossTheEndOfAToken(t *testing.T) {
	w := start(t)
	more := make(chan string, 1)
	up := w.upstream(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		for {
			select {
			case line := <-more:
				fmt.Fprintf(rw, "data: %s\n\n", line)
				http.NewResponseController(rw).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	b := w.browse(w.proxy(up.URL))
	more <- "one" // the API answers when it has something to say
	resp := b.request("GET", "/api/events", nil, http.Header{"Accept": {"text/event-stream"}})
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for _, next := range []string{"two", "three", ""} {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "data: ") {
			t.Fatal(lines.Text(), lines.Err())
		}
		lines.Scan() // the empty line
		if next != "" {
			more <- next // only now, so that what was read cannot have waited for it
		}
	}
	if a := (answer{Response: resp}); resp.StatusCode != http.StatusOK || !a.sets() {
		t.Errorf("%s, Set-Cookie %q", resp.Status, resp.Header["Set-Cookie"])
	}
	b.once()
}

// The body is on its way when the 401 comes, and is sent again from its
// beginning.
func TestProxySendsAnUploadWholeAndOnce(t *testing.T) {
	for name, refusal := range map[string]authtest.Refusal{"an early 401": {}, "a late 401": {ReadBody: true}} {
		for sized, wrap := range map[string]func(io.Reader) io.Reader{
			"of a known length":    func(r io.Reader) io.Reader { return r },
			"of an unknown length": func(r io.Reader) io.Reader { return struct{ io.Reader }{r} },
		} {
			t.Run(name+", "+sized, func(t *testing.T) {
				w := start(t)
				w.api.Refuse(refusal)
				b := w.browse(w.proxy(w.api.URL))
				sent := make([]byte, 3<<20)
				for i := range sent {
					sent[i] = byte(i*31 + i>>8)
				}
				a := b.do("POST", "/api/comments", wrap(bytes.NewReader(sent)), http.Header{"Content-Type": {"application/octet-stream"}})
				if a.StatusCode != http.StatusOK || a.body != string(sent) {
					t.Fatalf("%s, %d bytes of %d", a.Status, len(a.body), len(sent))
				}
				if c := w.api.Counts().Paths["/comments"]; c.OK != 1 || c.Unauthorized != 1 {
					t.Errorf("the API saw %+v", c)
				}
				b.once()
			})
		}
	}
}

func TestProxyAnswersFailuresAsTheyAre(t *testing.T) {
	problem := func(t *testing.T, a answer) {
		t.Helper()
		if ct := a.Header.Get("Content-Type"); ct != "application/problem+json" {
			t.Errorf("Content-Type %q", ct)
		}
	}
	t.Run("the authorization server does not answer", func(t *testing.T) {
		w := start(t)
		w.as.Fail(authtest.Answer(http.StatusServiceUnavailable, nil, ""))
		b := w.browse(w.proxy(w.api.URL))
		old := b.refreshToken()
		a := b.must(b.get("/api/users/me"), http.StatusServiceUnavailable, "")
		problem(t, a)
		if a.Header.Get("Retry-After") == "" || b.refreshToken() != old {
			t.Errorf("Retry-After %q, the cookie is kept: %t", a.Header.Get("Retry-After"), b.refreshToken() == old)
		}
	})
	t.Run("the session is over", func(t *testing.T) {
		w := start(t)
		b := w.browse(w.proxy(w.api.URL))
		w.as.EndSession(b.refreshToken())
		a := b.must(b.get("/api/users/me"), http.StatusUnauthorized, "")
		problem(t, a)
	})
	t.Run("the API cannot be reached", func(t *testing.T) {
		w := start(t)
		b := w.browse(w.proxy("http://127.0.0.1:1"))
		problem(t, b.must(b.get("/api/users/me"), http.StatusBadGateway, ""))
	})
	t.Run("a stronger sign-in is demanded", func(t *testing.T) { // RFC 9470
		w := start(t)
		const challenge = `Bearer error="insufficient_user_authentication", max_age="5"`
		w.api.Refuse(authtest.Refusal{Always: true, Challenge: challenge})
		b := w.browse(w.proxy(w.api.URL))
		a := b.must(b.get("/api/users/me"), http.StatusForbidden, "")
		problem(t, a)
		const login = `Rebearer login="/login?next=%2F&max_age=5"`
		if got := a.Header.Get("WWW-Authenticate"); got != login || w.as.Counts().Presentations != 0 {
			t.Errorf("WWW-Authenticate %q, %d presentations", got, w.as.Counts().Presentations)
		}
	})
}
