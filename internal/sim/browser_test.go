package sim_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"time"
)

// browser is the jar of somebody's cookies, and the tabs that share it.
type browser struct {
	w       *world
	name    string
	user    string
	access  string
	refresh string
}

// The names of the cookies.
const (
	accessCookie  = "__Host-access"
	refreshCookie = "__Host-refresh"
	scopedCookie  = "__Secure-refresh"
	scope         = "/auth"
)

// refreshCookie returns the name of the one that may be sent to scope only.
func (w *world) refreshCookie() string {
	if w.scoped {
		return scopedCookie
	}
	return refreshCookie
}

// generation returns what the jar holds.
func (b *browser) generation() *generation {
	g := b.w.server.byToken[b.refresh]
	if g != nil && g.family.generations != nil {
		for _, other := range g.family.generations {
			if other.refresh == b.refresh && other.access == b.access {
				return other
			}
		}
	}
	return g
}

// set takes in one Set-Cookie line.
func (b *browser) set(line string) {
	c, err := http.ParseSetCookie(line)
	if err != nil {
		b.w.fail("a Set-Cookie line that nobody reads: %v", err)
		return
	}
	if c.MaxAge < 0 {
		c.Value = ""
	}
	switch c.Name {
	case accessCookie:
		b.access = b.w.from(c.Value)
	case refreshCookie, scopedCookie:
		b.refresh = c.Value
	}
}

// request is one request of a tab.
type request struct {
	w       *world
	name    string
	tab     *browser
	to      *replica
	path    string
	page    bool        // a navigation rather than a fetch
	shown   *generation // nil if the jar was empty
	expiry  time.Time   // of the access token that is shown
	granted *generation // what a sign-in brings
	began   time.Time
	leave   context.CancelFunc
	arrived bool // the header
	over    bool
	passive bool      // a prefetch
	long    bool      // its handler takes its time
	last    bool      // nothing follows from its answer
	used    []*ticket // it has signed calls with what they led to
	retries int

	status   int
	lines    []string
	location string
	cache    string // Cache-Control
	spent    string // the access token that the answer names
	why      string // the reason that it names
	body     string
	lost     bool
}

// ask has a tab make a request.
func (b *browser) ask(to *replica, path string, how func(*request, http.Header)) *request {
	w := b.w
	w.requests++
	q := &request{w: w, name: fmt.Sprintf("q%d", w.requests), tab: b, to: to, path: path, began: w.now(), shown: b.generation()}
	if a := w.server.byAccess[b.access]; a != nil {
		q.expiry = a.expiry
	}
	shows := !w.scoped || strings.HasPrefix(path, scope)
	if q.shown != nil && shows {
		q.shown.received()
	}
	method := "GET"
	if path != "/page" && path != "/auth/login" {
		method = "POST"
	}
	req := httptest.NewRequest(method, "https://bff.test"+path, nil)
	if b.access != "" {
		req.AddCookie(&http.Cookie{Name: accessCookie, Value: w.toward(to, b.access)})
	}
	if b.refresh != "" && shows {
		req.AddCookie(&http.Cookie{Name: w.refreshCookie(), Value: b.refresh})
	}
	req.Header.Set("Sim-Request", q.name)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if how != nil {
		how(q, req.Header)
	}
	if named := req.Header.Get("Rebearer-Spent"); named != "" && w.clocks {
		req.Header.Set("Rebearer-Spent", w.spentToward(to, named))
	}
	if q.page {
		req.Header.Set("Sec-Fetch-Dest", "document")
		req.Header.Set("Sec-Fetch-Mode", "navigate")
	} else {
		req.Header.Set("Sec-Fetch-Dest", "empty")
		req.Header.Set("Sec-Fetch-Mode", "cors")
	}
	w.say("%s: %s %s of %s shows %s to %s", q.name, method, path, b.name, q.shown.text(), to.name)
	q.serve(req)
	return q
}

// received notes that a browser shows the refresh token: it needs no older one.
func (g *generation) received() {
	for ; g != nil && g.shown.IsZero(); g = g.from {
		g.shown = time.Now()
	}
}

func (g *generation) text() string {
	if g == nil {
		return "nothing"
	}
	for i, other := range g.family.generations {
		if other == g {
			return fmt.Sprintf("%s (#%d)", g.refresh, i+1)
		}
	}
	return g.refresh
}

func (q *request) serve(req *http.Request) {
	var ctx context.Context
	ctx, q.leave = context.WithCancel(context.Background())
	if q.granted != nil {
		ctx = context.WithValue(ctx, grantKey{}, q.granted.token(q.to))
	}
	q.w.live = append(q.w.live, q)
	rw := &writer{q: q, header: http.Header{}}
	go func() {
		defer func() {
			rw.WriteHeader(http.StatusOK)
			q.w.post(&call{kind: response, name: q.name + " in whole", replica: q.to, ready: func() bool { return q.arrived }, effect: func() answer {
				q.complete()
				return answer{}
			}})
		}()
		q.to.mux.ServeHTTP(rw, req.WithContext(ctx))
	}()
}

// writer is the connection to the browser.
type writer struct {
	q      *request
	header http.Header
	wrote  bool
}

func (rw *writer) Header() http.Header { return rw.header }
func (rw *writer) Flush()              { rw.WriteHeader(http.StatusOK) }

var spentIn = regexp.MustCompile(`spent="([^"]*)"`)
var reasonIn = regexp.MustCompile(`"reason":"([^"]*)"`)

func (rw *writer) WriteHeader(status int) {
	if rw.wrote {
		return
	}
	rw.wrote = true
	q := rw.q
	h := rw.header.Clone()
	q.w.mu.Lock()
	q.status, q.lines, q.location = status, h["Set-Cookie"], h.Get("Location")
	q.cache = h.Get("Cache-Control")
	if m := spentIn.FindStringSubmatch(h.Get("Www-Authenticate")); m != nil {
		q.spent = m[1]
	}
	q.w.mu.Unlock()
	q.w.post(&call{kind: response, name: q.name + " header", replica: q.to, request: q, effect: func() answer {
		q.arrived = true
		if q.lost {
			return answer{value: "lost"}
		}
		if now := q.tab.generation(); len(q.lines) > 0 && q.granted == nil && q.shown != nil && now != nil && now.family != q.shown.family {
			q.w.counts["limit: a late response comes after a sign-in"]++
		}
		had := q.tab.generation()
		for _, line := range q.lines {
			q.tab.set(line)
		}
		if has := q.tab.generation(); had != nil && has != nil && had.family == has.family && has.issued.Before(had.issued) {
			q.w.counts["Set-Cookie: an older pair comes after a newer one"]++
		}
		return answer{value: fmt.Sprintf("%d, the jar has %s", status, q.tab.generation().text())}
	}})
}

func (rw *writer) Write(p []byte) (int, error) {
	rw.WriteHeader(http.StatusOK)
	q := rw.q
	q.w.mu.Lock()
	defer q.w.mu.Unlock()
	if m := spentIn.FindSubmatch(p); m != nil && q.spent == "" {
		q.spent = string(m[1])
	}
	if m := reasonIn.FindSubmatch(p); m != nil {
		q.why = string(m[1])
	}
	q.body += string(p)
	return len(p), nil
}

// signsOut reports whether the response clears the cookies.
func (q *request) signsOut() bool {
	for _, line := range q.lines {
		if strings.HasPrefix(line, q.w.refreshCookie()+"=;") {
			return true
		}
	}
	return false
}
