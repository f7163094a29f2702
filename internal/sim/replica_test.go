package sim_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// What all replicas are configured with.
const (
	realm   = "https://as.test bff"
	lease   = 3 * time.Second
	timeout = 10 * time.Second
	cutTo   = time.Minute // Grace
	origin  = "https://api.test"
	files   = "https://files.test" // has access tokens of its own
)

// replica is one process.
type replica struct {
	w           *world
	name        string
	coordinator *tokencache.Coordinator
	auth        *middleware.Authenticator
	transport   *transport.Transport
	mux         http.Handler

	ahead   time.Duration // its clock
	dead    bool
	alone   time.Time             // when it last went on without the Store
	stalled time.Time             // until then
	apart   time.Time             // from the Store, until then
	deaf    time.Time             // messages of the Store are lost until then
	slow    time.Time             // the Store answers it slowly until then
	hangs   bool                  // while it is apart; else it is told at once
	owed    map[*ticket]string    // excuses for what it presents next
	knows   map[*ticket]time.Time // since when it knows that it was exchanged
	tried   map[*ticket]time.Time // when it wrote last that it holds it
	unsure  map[*ticket]*call     // the last one by which it could not take it
	holds   map[*ticket]string    // as whom it has taken it last
	unread  time.Time             // when a connection to the Store broke
	ailed   time.Time             // when the last of these faults ended, or ends
}

// start makes a process with an empty memory.
func (w *world) start(place int) *replica {
	w.started++
	r := &replica{w: w, name: fmt.Sprintf("p%d", w.started), ahead: w.ahead(), owed: map[*ticket]string{}, knows: map[*ticket]time.Time{}, tried: map[*ticket]time.Time{}, unsure: map[*ticket]*call{}, holds: map[*ticket]string{}}
	r.coordinator = &tokencache.Coordinator{
		Refresher: endpoint{r}, Revoker: endpoint{r}, Realm: realm, Log: slog.New(journal{r, ""}),
		Timeout: timeout, Lease: lease, Grace: cutTo,
		Hold: w.hold, AloneWhenStoreFails: w.alone,
	}
	if w.store != nil {
		r.coordinator.Store = handle{r}
	}
	r.auth = &middleware.Authenticator{
		Coordinator: r.coordinator, Mode: w.redirects,
		Verifier: &middleware.Verifier{Algorithms: []string{"HS256"}, Key: signingKey},
	}
	if w.scoped {
		r.auth.Cookies.RefreshPath = scope
	}
	if w.opaque {
		r.auth.Verifier = nil
	}
	r.transport = &transport.Transport{Base: road{r}, Origins: []string{origin}, Resources: map[string]string{files: "files"}}
	mux := http.NewServeMux()
	mux.Handle("/page", r.auth.Handler(r.auth.Boundary(r.page)))
	mux.Handle("POST /auth/refresh", r.auth.RefreshHandler())
	mux.Handle("POST /auth/logout", r.auth.LogoutHandler())
	mux.Handle("/auth/login", http.HandlerFunc(r.login))
	r.mux = mux
	w.replicas[place] = r
	return r
}

// isAlone reports whether an exchange has gone on without the Store, and may not
// have ended.
func (r *replica) isAlone() bool {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	return !r.alone.IsZero() && time.Since(r.alone) < 2*timeout
}

// page asks the API, and writes what that has said of the user.
func (r *replica) page(w http.ResponseWriter, req *http.Request) error {
	h := req.Header
	if h.Get("Sim-Stream") != "" {
		io.WriteString(w, "a stream: ")
		http.NewResponseController(w).Flush()
	}
	if err := r.asks(w, req, "now"); err != nil || h.Get("Sim-Long") == "" {
		return err
	}
	c := &call{kind: think, name: h.Get("Sim-Request"), replica: r, effect: func() answer { return answer{} }}
	if a := r.w.await(req.Context(), c); a.err != nil {
		return a.err
	}
	return r.asks(w, req, "later")
}

// asks asks the API as often as the request says.
func (r *replica) asks(w http.ResponseWriter, req *http.Request, when string) error {
	h := req.Header
	n := len(h.Get("Sim-Calls"))
	said, errs := make([]string, n), make([]error, n)
	if h.Get("Sim-Parallel") == "" {
		for i := range n {
			if said[i], errs[i] = r.ask(req, fmt.Sprint(h.Get("Sim-Calls")[i:i+1], i, when)); errs[i] != nil {
				return errs[i]
			}
		}
	} else {
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { said[i], errs[i] = r.ask(req, fmt.Sprint(h.Get("Sim-Calls")[i:i+1], i, when)) })
		}
		all.Wait()
	}
	for i := range n {
		if errs[i] != nil {
			return errs[i]
		}
		fmt.Fprintf(w, "[%s]", said[i])
	}
	return nil
}

func (r *replica) ask(req *http.Request, which string) (string, error) {
	to := origin
	if strings.HasPrefix(which, "f") {
		to = files
	}
	out, err := http.NewRequestWithContext(req.Context(), "GET", to+"/me", nil)
	if err != nil {
		return "", err
	}
	out.Header.Set("Sim-Request", req.Header.Get("Sim-Request")+"."+which)
	resp, err := r.transport.RoundTrip(out)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		err = tokencache.ErrUnauthorized
	}
	return string(body), err
}

// login is where a browser comes back to with a new session.
func (r *replica) login(w http.ResponseWriter, req *http.Request) {
	if t, ok := req.Context().Value(grantKey{}).(tokencache.Token); ok {
		if err := r.auth.SignIn(w, req, t); err != nil {
			r.w.fail("sign-in: %v", err)
		}
	}
	fmt.Fprint(w, "hello")
}

type grantKey struct{}

// road is the way to the API.
type road struct{ r *replica }

func (t road) RoundTrip(req *http.Request) (*http.Response, error) {
	w := t.r.w
	access := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	name := req.Header.Get("Sim-Request")
	c := &call{kind: api, name: name, replica: t.r, access: access}
	c.effect = func() answer {
		what, _, _ := strings.Cut(strings.TrimSuffix(req.URL.Host, ".test"), "api")
		w.called(c)
		user, ok := w.server.accepts(access, what)
		if !ok {
			user = "401"
		}
		return answer{value: user}
	}
	a := w.await(req.Context(), c)
	if a.err != nil {
		return nil, a.err
	}
	body := a.value.(string)
	resp := &http.Response{
		StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
	if body == "401" {
		resp.StatusCode = 401
		resp.Header.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	return resp, nil
}

// journal reads the Coordinator's log.
type journal struct {
	r    *replica
	kept string
}

func (journal) Enabled(context.Context, slog.Level) bool { return true }
func (j journal) WithAttrs([]slog.Attr) slog.Handler     { return j }
func (j journal) WithGroup(string) slog.Handler          { return j }

func (j journal) Handle(_ context.Context, rec slog.Record) error {
	var session, why string
	rec.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "session":
			session = a.Value.String()
		case "reason":
			why = a.Value.String()
		}
		return true
	})
	w := j.r.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasSuffix(rec.Message, "without the Store") {
		j.r.alone = time.Now()
	}
	w.notes = append(w.notes, note{j.r, rec.Message, session, why})
	return nil
}

// note is a record of a Coordinator's log.
type note struct {
	by                    *replica
	message, session, why string
}
