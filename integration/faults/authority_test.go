//go:build unix

package faults

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rebearer/rebearer/authtest"
)

// family is a session of the authorization server.
type family struct {
	user    string
	revoked bool
	refused *presentation // what ended it
}

// presentation is a refresh token that arrived.
type presentation struct {
	attempt string
	token   string
	at      time.Time
	done    time.Time // when it was answered
	good    bool
}

// ledger knows what arrived at the servers: each presentation, by refresh token,
// and each POST, by its name.
type ledger struct {
	mu       sync.Mutex
	families map[string]*family // by refresh token
	shown    map[string][]*presentation
	lost     map[string]string // the requests whose answer a replica lost, by attempt
	comments map[string]int    // how often which was carried out
	logs     map[string]int    // what the replicas' logs say
	total    int
}

func newLedger() *ledger {
	return &ledger{
		families: map[string]*family{}, shown: map[string][]*presentation{}, lost: map[string]string{},
		comments: map[string]int{}, logs: map[string]int{},
	}
}

// watch looks at all that comes to the servers.
func (l *ledger) watch(as *authtest.AS, api *authtest.API) {
	as.Fail(l.refresh)
	as.FailRevoke(l.revoke)
	api.Intercept(l.call)
}

// signIn notes a new session.
func (l *ledger) signIn(user, refreshToken string) *family {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &family{user: user}
	l.families[refreshToken] = f
	return f
}

// refresh is a fault that changes nothing.
func (l *ledger) refresh(w http.ResponseWriter, r *http.Request, next http.Handler) {
	p := &presentation{attempt: r.Header.Get(attemptHeader), token: r.PostFormValue("refresh_token"), at: time.Now()}
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	var got struct {
		Refresh string `json:"refresh_token"`
	}
	json.Unmarshal(rec.Body.Bytes(), &got)
	l.note(p, got.Refresh)
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes())
}

func (l *ledger) note(p *presentation, successor string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.done, p.good = time.Now(), successor != ""
	l.total++
	l.shown[p.token] = append(l.shown[p.token], p)
	f := l.families[p.token]
	switch {
	case p.good:
		l.families[successor] = f
	case f != nil && f.refused == nil:
		f.refused = p
	}
}

func (l *ledger) revoke(w http.ResponseWriter, r *http.Request, next http.Handler) {
	l.mu.Lock()
	if f := l.families[r.PostFormValue("token")]; f != nil {
		f.revoked = true
	}
	l.mu.Unlock()
	next.ServeHTTP(w, r)
}

// call counts the POSTs that are let in.
func (l *ledger) call(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if id := r.Header.Get(commentHeader); id != "" {
		w = &carried{ResponseWriter: w, out: sync.OnceFunc(func() {
			l.mu.Lock()
			l.comments[id]++
			l.mu.Unlock()
			pause(r.Context(), 200*time.Millisecond) // so that its answer can get lost
		})}
	}
	next.ServeHTTP(w, r)
}

// carried calls out once the request has passed the check of its token.
type carried struct {
	http.ResponseWriter
	out func()
}

func (c *carried) WriteHeader(status int) {
	if status == http.StatusOK {
		c.out()
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *carried) Write(p []byte) (int, error) {
	if c.Header().Get(authtest.UserHeader) != "" {
		c.out()
	}
	return c.ResponseWriter.Write(p)
}

func (c *carried) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// lose notes what a replica has told.
func (l *ledger) lose(a *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost[a.ID] = a.Err
}

// logFile gets what the replicas log, if it is asked for.
var logFile *os.File

// log counts what a log says, without what differs from line to line.
func (l *ledger) log(line string) {
	if logFile != nil {
		fmt.Fprintln(logFile, line)
	}
	if field(line, "level") == "INFO" && field(line, "reason") == "" {
		return // all is well
	}
	kind := field(line, "msg")
	if why := field(line, "reason"); why != "" {
		kind += " (" + why + ")"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logs[kind]++
}

func field(line, name string) string {
	_, rest, ok := strings.Cut(line, " "+name+"=")
	if !ok {
		return ""
	}
	if strings.HasPrefix(rest, `"`) {
		value, _, _ := strings.Cut(rest[1:], `"`)
		return value
	}
	value, _, _ := strings.Cut(rest, " ")
	return value
}

// twice are the presentations of a refresh token that came more than once.
type twice struct {
	*family
	all   []*presentation
	lost  int  // answers of it
	first bool // is one of these
}

// allowed reports whether each presentation after the first followed an answer
// that was lost.
func (t twice) allowed() bool { return len(t.all) <= 1+t.lost }

// span is from a little before the first of them to the second.
func (t twice) span() (from, to time.Time) { return t.all[0].at.Add(-3 * time.Second), t.all[1].at }

func (t twice) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d presentations, %d lost answers:", t.user, len(t.all), t.lost)
	for _, p := range t.all {
		fmt.Fprintf(&b, " [%s %s–%s good=%v]", p.attempt, clock(p.at), clock(p.done), p.good)
	}
	return b.String()
}

// repeated returns the refresh tokens that were presented more than once.
func (l *ledger) repeated() []twice {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []twice
	for token, all := range l.shown {
		if len(all) < 2 {
			continue
		}
		t := twice{family: l.families[token], all: all}
		if t.family == nil {
			t.family = &family{user: "nobody"}
		}
		for _, p := range all {
			if _, lost := l.lost[p.attempt]; lost {
				t.lost++
				t.first = t.first || p == all[0]
			}
		}
		found = append(found, t)
	}
	return found
}
