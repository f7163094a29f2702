package middleware_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/middleware"
)

// lacking skips the test, or fails it where nothing may be missing.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("REBEARER_TEST_REQUIRE") == "all" {
		t.Fatal("REBEARER_TEST_REQUIRE=all: " + what)
	}
	t.Skip(what)
}

// naive is what one finds in many a configuration: everything that does not
// forbid it is kept for an hour, under its path alone.
const naive = `
daemon off; master_process off; pid nginx.pid; error_log stderr warn;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
	proxy_cache_path cache keys_zone=all:1m use_temp_path=off;
	server {
		listen %s;
		location / {
			proxy_pass %s;
			proxy_cache all;
			proxy_cache_key $uri;
			proxy_cache_valid any 1h;
			%s
			add_header X-Cache $upstream_cache_status;
		}
	}
}
`

// behindNginx starts an nginx with the configuration in front of the site.
func (s *site) behindNginx(t *testing.T, more string) (front *site, cache string) {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		lacking(t, "there is no nginx to put in front")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), fmt.Appendf(nil, naive, addr, s.URL, more), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(path, "-p", dir, "-c", "nginx.conf", "-e", "stderr")
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			break
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("nginx: %v\n%s", err, &stderr)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("nginx does not listen")
		}
	}
	return &site{&httptest.Server{URL: "http://" + addr}, s.w}, filepath.Join(dir, "cache")
}

// B57, T-H1, issue 3 item 3: a real caching proxy with a naive configuration
// keeps what is the same for all, and never a token.
func TestACachingProxyKeepsNoToken(t *testing.T) {
	for name, more := range map[string]string{
		"as it comes":             "",
		"told to forget cookies":  "proxy_ignore_headers Set-Cookie;",
		"told to forget more":     "proxy_ignore_headers Set-Cookie Vary;",
		"one fetch for many":      "proxy_cache_lock on; proxy_ignore_headers Set-Cookie Vary;",
		"serving what is too old": "proxy_cache_use_stale error timeout updating http_500 http_503; proxy_ignore_headers Set-Cookie Vary;",
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, with(func(a *middleware.Authenticator) { a.Public = []string{"GET /public/"} }))
			origin := w.pages(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Cache-Control", "public, s-maxage=31536000")
				rw.Header().Set("X-Accel-Expires", "31536000")
				rw.Header().Set("ETag", `"1"`)
				fmt.Fprint(rw, "public")
			}))
			front, cache := origin.behindNginx(t, more)
			for i, user := range []string{"ada", "grace"} {
				path := fmt.Sprintf("/public/%d", i)
				b := front.browser()
				old := b.expired(user)
				a := b.visit(path)
				must(t, a, 200, "public")
				if !a.setsTokens() {
					t.Fatal("nothing was renewed")
				}
				access, refresh := b.cookies()
				stranger := front.browser()
				a = stranger.visit(path)
				must(t, a, 200, "public")
				if len(a.Cookies()) > 0 {
					t.Errorf("a stranger gets %v", a.Header)
				}
				if a = stranger.visit(path); a.Header.Get("X-Cache") != "HIT" {
					t.Errorf("nothing is kept at all, so that this proves nothing: %v", a.Header)
				}
				noTokenIn(t, cache, access, refresh, old.Refresh())
			}
		})
	}
}

func noTokenIn(t *testing.T, dir string, tokens ...string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		kept, err := os.ReadFile(path)
		for _, token := range tokens {
			if strings.Contains(string(kept), token) {
				t.Errorf("a token is in the cache")
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%v, %d files", err, files)
	}
}
