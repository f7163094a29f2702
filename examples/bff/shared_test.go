//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/redisd"
)

// process is the program in a process of its own, and a browser in front.
type process struct {
	*world // without a bff
	cmd    *exec.Cmd
}

// startProcess starts one, which the test that ends kills.
func startProcess(t *testing.T, env map[string]string) *process {
	t.Helper()
	p := &process{world: &world{t: t, said: new(buffer)}, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), asProcess+"=1", "BFF_ADDR=127.0.0.1:0", "BFF_INSECURE_COOKIES=1",
		"GORACE=atexit_sleep_ms=0") // else it ends a second late
	for name, v := range env {
		p.cmd.Env = append(p.cmd.Env, name+"="+v)
	}
	p.cmd.Stderr = p.said
	out, err := p.cmd.StdoutPipe()
	_, piped := p.cmd.StdinPipe() // its end tells the process of ours
	if err := errors.Join(err, piped, p.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		if t.Failed() {
			t.Logf("the process said:\n%s", p.said)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	listening, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("it says %q, %v, %s", line, err, p.said)
	}
	rt := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(rt.CloseIdleConnections)
	p.url, p.browser = listening, jarred(t, &http.Client{Transport: rt})
	return p
}

// end ends the process as a supervisor does, and fails if it does not end well.
func (p *process) end() {
	p.t.Helper()
	p.browser.CloseIdleConnections() // for one that was never used a shutdown waits 5 s
	p.cmd.Process.Signal(syscall.SIGTERM)
	tooLate := time.AfterFunc(20*time.Second, func() { p.cmd.Process.Kill() })
	defer tooLate.Stop()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("it did not end well: %v", err)
	}
}

// together has all of them be one site to one browser. Cookies do not tell ports
// apart (RFC 6265 section 8.5).
func together(all ...*world) {
	for _, w := range all[1:] {
		w.browser.Jar = all[0].browser.Jar
	}
}

// page is what became of a request.
type page struct {
	status int
	body   string
	err    error
}

// crowd sends n requests for the page at a time, in turn to each of them.
func crowd(n int, all ...*world) []page {
	got := make([]page, n)
	var going sync.WaitGroup
	for i := range got {
		w := all[i%len(all)]
		going.Go(func() {
			resp, err := w.browser.Get(w.url + "/")
			if err != nil {
				got[i].err = err
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			got[i] = page{resp.StatusCode, string(body), err}
		})
	}
	going.Wait()
	return got
}

// allAre fails unless each request got the page of the user.
func allAre(t *testing.T, got []page, user string) {
	t.Helper()
	tally := map[string]int{}
	for _, p := range got {
		if p.err != nil || p.status != http.StatusOK || !strings.Contains(p.body, ">"+user+"<") {
			tally[fmt.Sprintf("%d %v", p.status, p.err)]++
		}
	}
	for _, what := range slices.Sorted(maps.Keys(tally)) {
		t.Errorf("%d of %d requests: %s", tally[what], len(got), what)
	}
}

// lose takes the access token out of the jar.
func (w *world) lose() {
	u, _ := url.Parse(w.url)
	w.browser.Jar.SetCookies(u, []*http.Cookie{{Name: "accessToken", Path: "/", MaxAge: -1}})
}

// B45: the same session on two processes, whether the API refuses the access token
// in the middle of a page or the browser shows none to begin with.
func TestProcessesShareSessions(t *testing.T) {
	for name, row := range map[string]struct {
		style  string
		expire func(*authtest.AS, *world)
	}{
		"the API refuses the access token": {styleCookie, func(as *authtest.AS, _ *world) { as.RevokeAccess() }},
		"the browser has lost it":          {styleOAuth2, func(_ *authtest.AS, w *world) { w.lose() }},
	} {
		t.Run(name, func(t *testing.T) {
			server := redisd.Start(t)
			as, _, base := elsewhere(t, authtest.ASConfig{Delay: 50 * time.Millisecond})
			env := map[string]string{"BFF_API_URL": base, "BFF_REFRESH_STYLE": row.style, "BFF_REDIS_URL": "redis://" + server.Addr()}
			a, b := startProcess(t, env), startProcess(t, env)
			together(a.world, b.world)
			a.signIn("alice")
			if r := b.navigate("/"); r.StatusCode != http.StatusOK || !strings.Contains(r.body, "store: Redis") ||
				!strings.Contains(r.body, "Sessions are shared by way of Redis") {
				t.Errorf("%s: the page does not say that sessions are shared", r.Status)
			}
			for round := 1; round <= 3; round++ {
				row.expire(as, a.world)
				began := time.Now()
				allAre(t, crowd(20, a.world, b.world), "alice")
				t.Logf("20 pages of two processes and one refresh: %v", time.Since(began).Round(time.Millisecond))
				a.presented(as, round)
			}
			if !as.Alive(a.cookie("refreshToken")) {
				t.Error("the browser does not hold the newest refresh token")
			}
			if left := server.WithoutTTL(); len(left) > 0 {
				t.Errorf("%q live for ever", left)
			}
			a.end()
			b.end()
		})
	}
}

// until asks until the answer has the status, and says how long that took.
func (w *world) until(status int, path string) {
	w.t.Helper()
	began := time.Now()
	for {
		r := w.navigate(path)
		if r.StatusCode == status {
			w.t.Logf("%s is %d after %v", path, status, time.Since(began).Round(time.Millisecond))
			return
		}
		if time.Since(began) > 20*time.Second {
			w.t.Fatalf("%s is still %s: %s", path, r.Status, r.body)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// unavailable fails unless the page cannot be renewed just now, and nothing is
// lost.
func (w *world) unavailable() {
	w.t.Helper()
	access, refresh := w.cookie("accessToken"), w.cookie("refreshToken")
	began := time.Now()
	r := w.navigate("/")
	w.t.Logf("503 after %v, to be tried again in %s s", time.Since(began).Round(time.Millisecond), r.Header.Get("Retry-After"))
	w.want(r, http.StatusServiceUnavailable)
	if r.Header.Get("Retry-After") == "" || r.Header.Get("Set-Cookie") != "" || refresh == "" ||
		w.cookie("accessToken") != access || w.cookie("refreshToken") != refresh {
		w.t.Errorf("the cookies are not kept, or nobody says when to come again: %v", r.Header)
	}
	w.want(w.fetch("/healthz"), http.StatusOK)
}

// B46
func TestRedisDiesAndComesBack(t *testing.T) {
	server := redisd.Start(t)
	as, _, base := elsewhere(t, authtest.ASConfig{})
	env := map[string]string{"BFF_API_URL": base, "BFF_REDIS_URL": "redis://" + server.Addr()}
	a, b := startProcess(t, env), startProcess(t, env)
	together(a.world, b.world)
	a.signIn("alice")
	as.RevokeAccess()
	allAre(t, crowd(20, a.world, b.world), "alice")
	a.presented(as, 1)

	server.Kill()
	allAre(t, crowd(20, a.world, b.world), "alice") // the access token lives
	as.RevokeAccess()
	a.unavailable()
	b.unavailable()
	a.presented(as, 1)
	if !strings.Contains(b.navigate("/login").body, "Who are you?") {
		t.Error("the login page needs Redis")
	}
	stranger := &world{t: t, url: b.url, browser: jarred(t, &http.Client{Transport: b.browser.Transport})}
	stranger.signIn("bob") // who has no session to be ended
	stranger.want(stranger.navigate("/"), http.StatusOK)

	server.Restart()
	a.until(http.StatusOK, "/")
	allAre(t, crowd(20, a.world, b.world), "alice")
	a.presented(as, 2)
	as.RevokeAccess() // now in b, too
	b.until(http.StatusOK, "/")
	a.presented(as, 3)
	for _, p := range []*process{a, b} {
		p.end()
		said := p.said.String()
		if strings.Count(said, "Redis does not answer") != 1 || strings.Count(said, "Redis answers again") != 1 {
			t.Errorf("the log has other than the two changes:\n%s", said)
		}
	}
}

// A Redis that does not let us in is as one that is down, and its password is
// nobody's business.
func TestARedisThatComesLater(t *testing.T) {
	for name, row := range map[string]struct{ before, after func(*redisd.Server) }{
		"it is not there": {func(s *redisd.Server) { s.Kill() }, func(s *redisd.Server) { s.Restart() }},
		"it does not know us": {
			func(s *redisd.Server) { s.Must("ACL", "SETUSER", "default", "resetkeys", "resetchannels") },
			func(s *redisd.Server) { s.Must("ACL", "SETUSER", "default", "~*", "&*") },
		},
		"the password is wrong": {
			func(s *redisd.Server) {},
			func(s *redisd.Server) {
				s.Must("ACL", "SETUSER", "me", "on", ">hidden", "~rebearer:*", "&rebearer:*", "+@all")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := redisd.Start(t)
			row.before(server)
			address := "redis://" + server.Addr()
			if strings.Contains(name, "password") {
				address = "redis://me:hidden@" + server.Addr()
			}
			as, _, base := elsewhere(t, authtest.ASConfig{})
			w := start(t, map[string]string{"BFF_API_URL": base, "BFF_REDIS_URL": address})
			w.want(w.fetch("/healthz"), http.StatusOK)
			w.signIn("alice")
			w.want(w.navigate("/"), http.StatusOK)
			w.lose()
			w.unavailable()
			if said := w.said.String(); !strings.Contains(said, "Redis does not answer") || strings.Contains(said, "hidden") {
				t.Errorf("the log: %s", said)
			}
			row.after(server)
			w.until(http.StatusOK, "/")
			w.presented(as, 1)
			body := w.navigate("/").body
			for _, event := range []string{"Sessions are shared by way of Redis", "nothing is refreshed until there is one", "Redis answers again."} {
				if !strings.Contains(body, event) {
					t.Errorf("the timeline does not say %q", event)
				}
			}
		})
	}
}

// Where the servers are embedded, the log says what others need to share them:
// what it says is enough.
func TestAnotherProcessSharesTheEmbeddedServers(t *testing.T) {
	server := redisd.Start(t)
	env := map[string]string{"BFF_REFRESH_STYLE": "oauth2", "BFF_REDIS_URL": "redis://" + server.Addr(), "BFF_CLIENT_SECRET": "of-the-demo"}
	a := start(t, env)
	for name := range strings.FieldsSeq(a.said.String()) {
		if name, v, ok := strings.Cut(name, "="); ok && strings.HasPrefix(name, "BFF_") {
			env[name] = v
		}
	}
	if env["BFF_API_URL"] == "" {
		t.Fatal(a.said)
	}
	b := startProcess(t, env)
	together(a, b.world)
	a.signIn("alice")
	a.demo.as.RevokeAccess()
	allAre(t, crowd(20, a, b.world), "alice")
	a.presented(a.demo.as, 1)
	b.end()

	a = start(t, map[string]string{"BFF_REDIS_URL": "redis://" + server.Addr()})
	if !strings.Contains(a.said.String(), "BFF_API_URL to the same in all processes") {
		t.Errorf("nobody is told that nothing is shared: %s", a.said)
	}
}
