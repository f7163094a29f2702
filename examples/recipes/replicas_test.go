//go:build unix

package recipes_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/transport"
)

// surroundings is what a replica is told.
type surroundings struct {
	Redis, Issuer, Token, Revoke, API string
	Key                               []byte
}

const (
	replicaVariable = "RECIPES_REPLICA"
	replicaMark     = "replica listens on "
	servedBy        = "Served-By" // the header that names the replica
)

// TestReplicaProcess is no test but a replica: a process of this test binary,
// which ends in order when its input does.
func TestReplicaProcess(t *testing.T) {
	var s surroundings
	if json.Unmarshal([]byte(os.Getenv(replicaVariable)), &s) != nil {
		t.Skip("only for the processes that other tests start")
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost = 100
	defer base.CloseIdleConnections()
	as := &transport.TokenEndpoint{URL: s.Token, RevocationURL: s.Revoke, ClientID: "bff", Base: base}
	auth := &middleware.Authenticator{
		Verifier: &middleware.Verifier{Algorithms: []string{"HS256"}, Key: s.Key, Issuer: s.Issuer, Audience: "api"},
		Cookies:  middleware.Cookies{InsecureNoTLS: true},
	}
	api := client.New(s.API, &transport.Transport{Base: base, Origins: []string{s.API}})
	h, end, err := recipes.Replicated(s.Redis, as, auth, api)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(servedBy, l.Addr().String())
		h.ServeHTTP(w, r)
	})}
	go server.Serve(l)
	fmt.Println(replicaMark + l.Addr().String())
	io.Copy(io.Discard, os.Stdin)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := errors.Join(server.Shutdown(ctx), end(ctx)); err != nil {
		t.Error(err)
	}
}

// replica is one as its test sees it.
type replica struct {
	host string
	cmd  *exec.Cmd
	end  func() // in order
}

// replicas starts n of them on the Redis.
func (w *world) replicas(n int, server *redisd.Server) (all []*replica, hosts []string) {
	w.t.Helper()
	told, err := json.Marshal(surroundings{
		"redis://" + server.Addr(), w.as.URL, w.as.TokenURL(), w.as.RevokeURL(), w.api.URL, w.as.Key().([]byte),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for range n {
		r := w.replica(string(told))
		all, hosts = append(all, r), append(hosts, r.host)
	}
	return all, hosts
}

func (w *world) replica(told string) *replica {
	w.t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(os.Args[0], "-test.run=^TestReplicaProcess$")
	cmd.Env = append(os.Environ(), replicaVariable+"="+told)
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	in, piped := cmd.StdinPipe()
	if err := errors.Join(err, piped, cmd.Start()); err != nil {
		w.t.Fatal(err)
	}
	var once sync.Once
	r := &replica{cmd: cmd}
	r.end = func() {
		once.Do(func() {
			in.Close()
			// What it prints at its end must be read, or it would be lost to
			// who looks for a reason.
			rest, _ := io.ReadAll(out)
			if err := cmd.Wait(); err != nil && w.t.Context().Err() == nil {
				w.t.Errorf("a replica did not end well: %v\n%s%s", err, rest, &said)
			}
		})
	}
	w.t.Cleanup(func() {
		cmd.Process.Kill()
		r.end()
	})
	for lines := bufio.NewReader(out); r.host == ""; {
		line, err := lines.ReadString('\n')
		if err != nil {
			w.t.Fatalf("a replica does not start: %v", err)
		}
		r.host, _ = strings.CutPrefix(strings.TrimSpace(line), replicaMark)
		if !strings.HasPrefix(line, replicaMark) {
			r.host = ""
		}
	}
	return r
}

// upstreams is what an nginx in front of replicas needs. It asks one after the
// other, and by itself the next one if a replica dies over a GET. Tokens in
// cookies may make a header longer than its buffers are.
const upstreams = `
daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
	upstream bff { %s }
	server {
		listen %s;
		large_client_header_buffers 4 16k;
		location / {
			proxy_pass http://bff;
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			proxy_set_header Connection "";
			proxy_set_header X-Forwarded-For $remote_addr;
			proxy_set_header X-Forwarded-Proto $scheme;
			proxy_buffer_size 16k;
			proxy_buffers 8 16k;
		}
	}
}
`

// nginx starts one in front of the hosts, and returns its URL.
func nginx(t *testing.T, hosts ...string) string {
	t.Helper()
	redisd.Need(t, "nginx")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	var servers strings.Builder
	for _, h := range hosts {
		fmt.Fprintf(&servers, "server %s; ", h)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), fmt.Appendf(nil, upstreams, &servers, addr), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command("nginx", "-p", dir, "-c", "nginx.conf", "-e", "stderr")
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return "http://" + addr
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("nginx: %v\n%s", err, &said)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("nginx does not listen")
	return ""
}

func roundRobin(t *testing.T, hosts ...string) string {
	t.Helper()
	through := &http.Transport{MaxIdleConnsPerHost: 100}
	srv := httptest.NewServer(recipes.RoundRobin(through, hosts...))
	t.Cleanup(through.CloseIdleConnections)
	t.Cleanup(srv.Close)
	return srv.URL
}

// crowd sends n requests for the page at a time, and returns who served how many,
// and what else came of them. sent is called when all of them are on their way.
func (b *browser) crowd(n int, sent func()) (served map[string]int, failed map[string]int) {
	served, failed = map[string]int{}, map[string]int{}
	var mu sync.Mutex
	var going, written sync.WaitGroup
	written.Add(n)
	for range n {
		going.Go(func() {
			var once sync.Once // a request may be written again on another connection
			ctx := httptrace.WithClientTrace(b.w.t.Context(), &httptrace.ClientTrace{
				WroteRequest: func(httptrace.WroteRequestInfo) { once.Do(written.Done) },
			})
			by, err := b.me(ctx)
			once.Do(written.Done)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[err.Error()]++
				return
			}
			served[by]++
		})
	}
	written.Wait()
	sent()
	going.Wait()
	return served, failed
}

// me asks for ada's page and returns who served it.
func (b *browser) me(ctx context.Context) (by string, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", b.URL+"/me", nil)
	if err != nil {
		return "", err
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || string(body) != "page of ada") {
		err = fmt.Errorf("%s %.200s", resp.Status, body)
	}
	return resp.Header.Get(servedBy), err
}

// tab is another browser with the same cookies, as is a request that was on its
// way when they changed.
func (b *browser) tab(at string) *browser {
	b.w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.w.t.Fatal(err)
	}
	u, _ := url.Parse(b.URL)
	jar.SetCookies(u, b.jar.Cookies(u))
	return &browser{b.w, at, &http.Client{Jar: jar, Transport: b.http.Transport, CheckRedirect: b.http.CheckRedirect}, jar}
}

// B45, B47
func TestReplicas(t *testing.T) {
	for name, front := range map[string]func(*testing.T, ...string) string{"the reverse proxy of net/http": roundRobin, "nginx": nginx} {
		t.Run(name, func(t *testing.T) {
			t.Run("forty parallel pages make one presentation", func(t *testing.T) {
				w := start(t)
				all, hosts := w.replicas(2, redisd.Start(t))
				b := w.browse(http.NotFoundHandler())
				b.URL = front(t, hosts...)
				for round := 1; round <= 3; round++ {
					w.as.ResetCounts()
					began := time.Now()
					served, failed := b.crowd(40, func() {})
					t.Logf("40 pages and one refresh: %v, served by %v", time.Since(began).Round(time.Millisecond), served)
					if len(failed) > 0 || len(served) != 2 {
						t.Errorf("served by %v, failed: %v", served, failed)
					}
					b.once()
					w.as.RevokeAccess()
				}
				for _, r := range all {
					r.end()
				}
			})
			t.Run("a replica that is killed while it presents the token", func(t *testing.T) {
				w := start(t)
				all, hosts := w.replicas(2, redisd.Start(t))
				b := w.browse(http.NotFoundHandler())
				gate := authtest.NewGate()
				w.as.FailNext(1, gate.Hold)
				lost := make(chan error)
				go func() {
					_, err := b.tab("http://" + all[0].host).me(t.Context())
					lost <- err
				}()
				<-gate.Arrived()
				b.URL = front(t, hosts...)
				var killed time.Time
				served, failed := b.crowd(40, func() {
					all[0].cmd.Process.Kill()
					killed = time.Now()
				})
				t.Logf("all pages are there %v after the kill", time.Since(killed).Round(time.Millisecond))
				if err := <-lost; err == nil {
					t.Error("the dead have answered")
				}
				if len(failed) > 0 || served[all[1].host] != 40 {
					t.Errorf("served by %v, failed: %v", served, failed)
				}
				// What the dead one presented has not come to the server's ears.
				if c := w.as.Counts(); c.Presentations != 2 || c.Refreshes != 1 || c.Reuses != 0 {
					t.Errorf("%+v", c)
				}
				if !w.as.Alive(b.refreshToken()) {
					t.Error("the refresh token in the jar is dead")
				}
			})
			t.Run("a form goes through the front", func(t *testing.T) {
				w := start(t)
				_, hosts := w.replicas(2, redisd.Start(t))
				b := w.browse(http.NotFoundHandler())
				b.URL = front(t, hosts...)
				old := b.refreshToken()
				h := http.Header{"Origin": {b.URL}} // which the replica compares with the Host
				b.must(b.do("POST", "/logout", nil, h), http.StatusNoContent, "")
				if w.as.Alive(old) || b.refreshToken() != "" {
					t.Error("nobody was signed out")
				}
			})
		})
	}
}

// B45: of a logout the other replica hears when it would refresh.
func TestALogoutThroughAnotherReplica(t *testing.T) {
	w := start(t)
	_, hosts := w.replicas(2, redisd.Start(t))
	b := w.browse(http.NotFoundHandler())
	b.URL = "http://" + hosts[0]
	b.must(b.get("/me"), http.StatusOK, "page of ada")
	tab := b.tab("http://" + hosts[1])
	b.must(tab.get("/me"), http.StatusOK, "page of ada")
	b.must(b.do("POST", "/logout", nil, http.Header{"Sec-Fetch-Site": {"same-origin"}}), http.StatusNoContent, "")
	w.as.RevokeAccess()
	b.must(tab.get("/me"), http.StatusUnauthorized, "")
	a := b.must(tab.do("GET", "/me", nil, maps.Clone(navigating)), http.StatusSeeOther, "")
	if to := a.Header.Get("Location"); to != "/login?next=%2Fme" || tab.refreshToken() != "" {
		t.Errorf("to %q, and the jar has %q", to, tab.refreshToken())
	}
	if c := w.as.Counts(); c.Presentations != 1 {
		t.Errorf("a session that is over was refreshed: %+v", c)
	}
}
