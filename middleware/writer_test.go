package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/middleware"
)

// late makes the API reject the token of the handler's request, and then calls
// it: the token was good when the request began.
func (w *world) late(r *http.Request) {
	w.t.Helper()
	w.as.RevokeAccess()
	if status, body := w.get(r.Context(), "/users/me"); status != 200 {
		w.t.Errorf("the late call: %d %s", status, body)
	}
}

// B52: whichever way the header goes out, the cookies of a refresh during the
// handler are on it.
func TestARefreshDuringTheHandlerIsOnItsResponse(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		serve  func(w *world, rw http.ResponseWriter, r *http.Request)
	}{
		"WriteHeader": {202, func(w *world, rw http.ResponseWriter, r *http.Request) { w.late(r); rw.WriteHeader(202) }},
		"Write":       {200, func(w *world, rw http.ResponseWriter, r *http.Request) { w.late(r); rw.Write([]byte("x")) }},
		"WriteString": {200, func(w *world, rw http.ResponseWriter, r *http.Request) { w.late(r); io.WriteString(rw, "x") }},
		"Flush":       {200, func(w *world, rw http.ResponseWriter, r *http.Request) { w.late(r); rw.(http.Flusher).Flush() }},
		"a controller": {200, func(w *world, rw http.ResponseWriter, r *http.Request) {
			w.late(r)
			http.NewResponseController(rw).Flush()
		}},
		"ReadFrom": {200, func(w *world, rw http.ResponseWriter, r *http.Request) {
			w.late(r)
			rw.(io.ReaderFrom).ReadFrom(strings.NewReader("x"))
		}},
		"io.Copy": {200, func(w *world, rw http.ResponseWriter, r *http.Request) {
			w.late(r)
			io.Copy(rw, io.MultiReader(strings.NewReader("x")))
		}},
		"returning": {200, func(w *world, rw http.ResponseWriter, r *http.Request) { w.late(r) }},
		"304":       {304, func(w *world, rw http.ResponseWriter, r *http.Request) { w.late(r); rw.WriteHeader(304) }},
		"204":       {204, func(w *world, rw http.ResponseWriter, r *http.Request) { w.late(r); rw.WriteHeader(204) }},
		"a redirect": {302, func(w *world, rw http.ResponseWriter, r *http.Request) {
			w.late(r)
			http.Redirect(rw, r, "/x", http.StatusFound)
		}},
		"after 103":        {200, func(w *world, rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(103); w.late(r); rw.Write(nil) }},
		"a failed handler": {500, func(w *world, rw http.ResponseWriter, r *http.Request) { w.late(r); panic("on its way out") }},
		"ServeContent": {200, func(w *world, rw http.ResponseWriter, r *http.Request) {
			w.late(r)
			http.ServeContent(rw, r, "x.txt", time.Now(), strings.NewReader("x"))
		}},
		"a hijacked upgrade": {101, func(w *world, rw http.ResponseWriter, r *http.Request) {
			w.late(r)
			conn, buf, err := rw.(http.Hijacker).Hijack()
			if err != nil {
				w.t.Error(err)
				return
			}
			defer conn.Close()
			buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n")
			rw.Header().Write(buf)
			buf.WriteString("\r\n")
			buf.Flush()
		}},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			t.Run(name+" "+method, func(t *testing.T) {
				w := start(t)
				var h http.Handler = w.auth.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { row.serve(w, rw, r) }))
				b := w.serve(recoverer(h)).browser()
				old := b.signedIn("ada")
				a := b.do(method, "/", "", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}})
				if a.StatusCode != row.status || !a.setsTokens() {
					t.Fatalf("%d %v", a.StatusCode, a.Header)
				}
				if _, refresh := b.cookies(); refresh == old.Refresh() || !w.as.Alive(refresh) {
					t.Error("they are not the new ones")
				}
				w.presentations(1)
			})
		}
	}
}

// recoverer is what an outer middleware makes of a panic.
func recoverer(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				http.Error(w, "oh no", 500)
			}
		}()
		h.ServeHTTP(w, r)
	})
}

// B52: an http.TimeoutHandler outside loses nothing: what its own answer could
// not carry, the next one does. One inside does not even see the trouble.
func TestATimeoutHandlerLosesNothing(t *testing.T) {
	for name, wrap := range map[string]func(*world, http.Handler) http.Handler{
		"outside": func(w *world, h http.Handler) http.Handler {
			return http.TimeoutHandler(w.auth.Handler(h), time.Second, "too late")
		},
		"inside": func(w *world, h http.Handler) http.Handler {
			return w.auth.Handler(http.TimeoutHandler(h, time.Second, "too late"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it takes a second
			w := start(t)
			calls := 0
			h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if calls++; calls == 1 {
					w.late(r)
					<-r.Context().Done()
				}
				fmt.Fprint(rw, "in time")
			})
			b := w.serve(wrap(w, h)).browser()
			b.signedIn("ada")
			must(t, b.fetch("/"), 503, "too late")
			a := b.fetch("/")
			must(t, a, 200, "in time")
			if _, refresh := b.cookies(); !w.as.Alive(refresh) {
				t.Error("the new tokens are lost")
			}
			w.presentations(1)
		})
	}
}

// B53, T-F13: the header is gone when the token ends. The stream goes on, nothing is
// logged, and every later request with the old cookies is served and told, with
// no presentation more.
func TestARefreshAfterTheHeaderIsParked(t *testing.T) {
	w := start(t)
	var logged bytes.Buffer
	mux := http.NewServeMux()
	mux.HandleFunc("/stream", func(rw http.ResponseWriter, r *http.Request) {
		io.WriteString(rw, "begin\n")
		rw.(http.Flusher).Flush()
		w.late(r)
		io.WriteString(rw, "end\n")
	})
	mux.Handle("/still", still)
	mux.Handle("/", w.page())
	srv := httptest.NewUnstartedServer(w.auth.Handler(mux))
	srv.Config.ErrorLog = log.New(&logged, "", 0)
	srv.Start()
	defer srv.Close()
	s := &site{srv, w}
	b := s.browser()
	old := b.signedIn("ada")
	a := b.fetch("/stream")
	must(t, a, 200, "begin\nend\n")
	if a.setsTokens() {
		t.Error("cookies came before there were any")
	}
	w.presentations(1)
	for _, path := range []string{"/", "/still", "/still", "/"} { // also where the handler calls nothing
		other := s.browser()
		other.keep(old.Access(), old.Refresh())
		a := other.fetch(path)
		if a.StatusCode != 200 || !a.setsTokens() {
			t.Errorf("%s: %d %v", path, a.StatusCode, a.Header)
		}
		if _, refresh := other.cookies(); !w.as.Alive(refresh) {
			t.Error("they are not the newest")
		}
	}
	w.presentations(1)
	if logged.Len() > 0 {
		t.Errorf("logged: %s", logged.String())
	}
}

// B54: a client that leaves in mid-refresh has its session when it comes back.
func TestAClientThatLeavesKeepsItsSession(t *testing.T) {
	w := start(t)
	gate := newGate(w)
	s := w.pages(w.page())
	b := s.browser()
	old := b.expired("ada")
	ctx, leave := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", b.URL+"/", nil)
	left := make(chan error)
	go func() {
		resp, err := b.http.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		left <- err
	}()
	<-gate.Arrived()
	leave()
	if err := <-left; err == nil {
		t.Fatal("it was served")
	}
	gate.Open()
	must(t, b.visit("/"), 200, "page of ada")
	if _, refresh := b.cookies(); refresh == old.Refresh() {
		t.Error("no new cookies came")
	}
	w.presentations(1)
}

// B56: what has not changed is not sent again.
func TestUnchangedCookiesAreNotSentAgain(t *testing.T) {
	w := start(t)
	b := w.pages(w.page()).browser()
	b.signedIn("ada")
	for range 3 {
		a := b.visit("/")
		must(t, a, 200, "page of ada")
		if len(a.Cookies()) > 0 || a.Header.Get("Cache-Control") != "" || a.Header.Get("Vary") != "" {
			t.Errorf("%v", a.Header)
		}
	}
}

// B57, T-H1, T-H3: a response that sets cookies is nobody else's, whatever the
// handler says of it.
func TestAResponseWithCookiesIsPrivate(t *testing.T) {
	w := start(t)
	s := w.pages(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Cache-Control", "public, s-maxage=31536000")
		h.Set("Etag", `"x"`)
		h.Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		h.Set("Expires", "Mon, 02 Jan 2040 15:04:05 GMT")
		h.Set("Surrogate-Control", "max-age=31536000")
		h["CDN-Cache-Control"] = []string{"max-age=31536000"}
		h.Set("Cloudflare-CDN-Cache-Control", "max-age=31536000")
		h.Set("X-Accel-Expires", "31536000")
		h.Set("Vary", "Accept-Encoding")
		status := 200
		fmt.Sscan(r.FormValue("status"), &status)
		rw.WriteHeader(status)
		h.Set("Cache-Control", "public, s-maxage=31536000")
	}))
	for _, status := range []string{"200", "301", "304", "404"} {
		b := s.browser()
		b.expired("ada")
		a := b.visit("/?status=" + status)
		if fmt.Sprint(a.StatusCode) != status || !a.setsTokens() {
			t.Fatalf("%d %v", a.StatusCode, a.Header)
		}
		if cc := a.Header.Values("Cache-Control"); len(cc) != 1 || cc[0] != "private, no-store" {
			t.Errorf("%s: Cache-Control is %q", status, cc)
		}
		if v := a.Header.Values("Vary"); strings.Join(v, ",") != "Accept-Encoding,Cookie" {
			t.Errorf("%s: Vary is %q", status, v)
		}
		for name := range a.Header {
			switch strings.ToLower(name) {
			case "etag", "last-modified", "expires", "surrogate-control", "cdn-cache-control", "cloudflare-cdn-cache-control", "x-accel-expires":
				t.Errorf("%s: %s is still there", status, name)
			}
		}
		a = b.visit("/?status=" + status) // without cookies it is as the handler says
		if a.setsTokens() || a.Header.Get("Cache-Control") != "public, s-maxage=31536000" {
			t.Errorf("%s: %v", status, a.Header)
		}
	}
}

// B82: what an upstream sets under our names does not come through.
func TestNobodyElseSetsOurCookies(t *testing.T) {
	w := start(t)
	s := w.pages(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for _, line := range []string{"access=evil", "refresh=evil; Path=/", "theirs=1", " access =evil"} {
			rw.Header().Add("Set-Cookie", line)
		}
		fmt.Fprintf(rw, "%s|%s", r.Header.Get("Cookie"), r.Header.Get("Authorization"))
	}))
	b := s.browser()
	token := b.signedIn("ada")
	a := b.do("GET", "/", "", http.Header{"Cookie": {"a=1; b=2"}, "Authorization": {"Bearer mine"}})
	must(t, a, 200, "a=1; b=2|")
	if strings.Contains(a.body, "mine") || strings.Contains(a.body, token.Refresh()) {
		t.Errorf("the handler saw %q", a.body)
	}
	if lines := a.Header.Values("Set-Cookie"); len(lines) != 1 || lines[0] != "theirs=1" {
		t.Errorf("%q", lines)
	}
}

// B60: what a writer of net/http can do, ours can.
func TestTheWriterCanDoWhatTheOneUnderneathCan(t *testing.T) {
	w := start(t)
	s := w.pages(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(rw)
		soon := time.Now().Add(time.Minute)
		for name, err := range map[string]error{
			"read deadline": rc.SetReadDeadline(soon), "write deadline": rc.SetWriteDeadline(soon),
			"full duplex": rc.EnableFullDuplex(), "flush": rc.Flush(),
		} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, ok := rw.(http.Pusher); !ok {
			t.Error("no Push")
		}
		if err := rw.(http.Pusher).Push("/x", nil); err != http.ErrNotSupported {
			t.Errorf("HTTP/1 has no push, yet: %v", err)
		}
		conn, buf, err := rc.Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		buf.WriteString("5\r\nhello\r\n0\r\n\r\n")
		buf.Flush()
	}))
	b := s.browser()
	b.signedIn("ada")
	must(t, b.fetch("/"), 200, "hello")
}

// B60: http.ServeContent reaches the ReaderFrom of net/http through us with the
// very file, which is what sendfile needs.
func TestSendfileIsKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	w := start(t)
	probed := &probe{header: http.Header{}}
	b := w.pages(still).browser()
	b.signedIn("ada")
	req := httptest.NewRequest("GET", "/", nil)
	access, refresh := b.cookies()
	req.Header.Set("Cookie", "access="+access+"; refresh="+refresh)
	w.auth.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.ServeFile(rw, r, file)
	})).ServeHTTP(probed, req)
	if probed.file != file || probed.status != 200 {
		t.Errorf("%d, and net/http was given %q", probed.status, probed.file)
	}
}

// probe notes which file net/http would have sent.
type probe struct {
	header http.Header
	status int
	file   string
}

func (p *probe) Header() http.Header                          { return p.header }
func (p *probe) WriteHeader(status int)                       { p.status = status }
func (p *probe) Write(b []byte) (int, error)                  { return len(b), nil }
func (p *probe) Flush()                                       {}
func (p *probe) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, http.ErrNotSupported }
func (p *probe) ReadFrom(src io.Reader) (int64, error) {
	if l, ok := src.(*io.LimitedReader); ok {
		if f, ok := l.R.(*os.File); ok {
			p.file = f.Name()
		}
	}
	return io.Copy(io.Discard, src)
}

// The wrapper adds one allocation.
func TestAllocOfTheWriter(t *testing.T) {
	if middleware.WriterAllocs(t) > 1 {
		t.Error("more than one")
	}
}

// Some frameworks answer an error when their middleware has returned. Nothing
// has been written by then, so that the answer is what it should be.
func TestAnErrorHandlerOutside(t *testing.T) {
	w := start(t)
	var failed *http.Request
	h := w.auth.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { failed = r }))
	s := w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		failed = nil
		if h.ServeHTTP(rw, r); failed != nil {
			_, err := w.rest.R(failed.Context()).Get("/users/me")
			w.auth.Error(rw, failed, err)
		}
	}))
	b := s.browser()
	w.as.EndSession(b.signedIn("ada").Refresh())
	w.as.RevokeAccess()
	if a := b.visit("/"); a.StatusCode != 303 || !a.clearsTokens() || a.Header.Get("Cache-Control") != "private, no-store" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	b = s.browser()
	b.signedIn("grace")
	w.as.RevokeAccess()
	w.api.Refuse(authtest.Refusal{Always: true})
	if a := b.visit("/"); a.StatusCode != 502 {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}

// B82: a ReverseProxy adds an upstream's header to a 101 after it has taken the
// connection. Still nobody but us sets our cookies.
func TestAnUpgradeThroughAReverseProxy(t *testing.T) {
	w := start(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		conn, buf, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n" +
			"Cache-Control: public\r\nSet-Cookie: refresh=theirs\r\nSet-Cookie: theirs=1\r\n\r\n")
		buf.Flush()
	}))
	defer upstream.Close()
	u, _ := url.Parse(upstream.URL)
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	b := w.serve(w.auth.Handler(&httputil.ReverseProxy{Transport: base, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }})).browser()
	b.expired("ada")
	a := b.do("GET", "/", "", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}})
	_, refresh := b.cookies()
	if a.StatusCode != 101 || !w.as.Alive(refresh) || len(a.Cookies()) != 3 || a.Header.Get("Cache-Control") != "private, no-store" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}
