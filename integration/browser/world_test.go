package browser

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/jws"
)

// world is a strict authorization server and its API.
type world struct {
	t   *testing.T
	as  *authtest.AS
	api *authtest.API
}

func start(t *testing.T) *world {
	t.Helper()
	require(t)
	as := authtest.NewAS(authtest.ASConfig{})
	t.Cleanup(as.Close)
	api := as.NewAPI()
	t.Cleanup(api.Close)
	return &world{t, as, api}
}

// counts fails unless so many refresh tokens were presented, none of them twice.
func (w *world) counts(presentations int) {
	w.t.Helper()
	if c := w.as.Counts(); c.Presentations != presentations || c.Reuses != 0 {
		w.t.Errorf("%d presentations and %d reuses, want %d and none", c.Presentations, c.Reuses, presentations)
	}
}

// expire has the access token in a cookie of the user be one that the server
// could have issued, and waits until it has ended. Its successors live as long
// as others, so that what is counted does not depend on how fast the machine is.
func (w *world) expire(u *user, cookie string) {
	w.t.Helper()
	now := time.Now()
	end := time.Unix(now.Unix()+1, 0)
	token, err := jws.Sign("HS256", w.as.Key(), map[string]any{"typ": "at+jwt"}, map[string]any{
		"iss": w.as.URL, "aud": "api", "sub": "alice", "jti": "brief", "iat": now.Unix(), "exp": end.Unix(),
	})
	must(w.t, err)
	u.keep(cookie, token)
	eventually(w.t, func() bool { return time.Now().After(end) }, func() string { return "the clock stands still" })
}

// held waits for a request at a gate.
func held(t *testing.T, g *authtest.Gate) {
	t.Helper()
	select {
	case <-g.Arrived():
	case <-time.After(patience):
		t.Fatal("nothing came to the gate")
	}
}

// front joins the authorization server and the API under one URL.
func (w *world) front() string {
	w.t.Helper()
	to := func(base string) http.Handler { return proxy(base, w.as.Transport()) }
	mux := http.NewServeMux()
	mux.Handle("/", to(w.api.URL))
	for _, path := range []string{"/auth/", "/token", "/revoke", "/jwks"} {
		mux.Handle(path, to(w.as.URL))
	}
	return serve(w.t, mux)
}

// proxy passes everything on, the Host included.
func proxy(base string, rt http.RoundTripper) http.Handler {
	u, err := url.Parse(base)
	if err != nil {
		panic(err)
	}
	p := &httputil.ReverseProxy{
		Transport: rt, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u); r.Out.Host = r.In.Host },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway) // a tab that was closed
		},
		ErrorLog: log.New(io.Discard, "", 0), // likewise
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The API echoes a body while it comes in. Without this, net/http reads
		// the rest of it away when the answer begins.
		http.NewResponseController(w).EnableFullDuplex()
		p.ServeHTTP(w, r)
	})
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections() // streams have no end of their own
		s.Close()
	})
	return s.URL
}

// bff runs examples/bff in a process of its own, with these variables beside
// what leads it to the world.
func (w *world) bff(env ...string) *site {
	w.t.Helper()
	return open(w.t, w.process(w.front(), env...))
}

// process is bff without a door, for the world as it is to be had at a URL: two
// processes that share sessions must know it by the same one.
func (w *world) process(front string, env ...string) http.Handler {
	w.t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(program)
	cmd.Stderr, cmd.SysProcAttr = &said, endsWithUs
	cmd.Env = append(os.Environ(), append([]string{
		"BFF_ADDR=127.0.0.1:0", "BFF_API_URL=" + front, "BFF_JWT_SECRET=" + string(w.as.Key().([]byte)),
	}, env...)...)
	out, err := cmd.StdoutPipe()
	must(w.t, err)
	must(w.t, cmd.Start())
	w.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		tooLate := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		defer tooLate.Stop()
		if err := cmd.Wait(); err != nil {
			w.t.Errorf("examples/bff did not end well: %v", err)
		}
		if w.t.Failed() {
			w.t.Logf("examples/bff said:\n%s", &said)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	listening, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		w.t.Fatalf("examples/bff says %q, %v", line, err)
	}
	rt := &http.Transport{MaxIdleConnsPerHost: 100}
	w.t.Cleanup(rt.CloseIdleConnections)
	return proxy(listening, rt)
}
