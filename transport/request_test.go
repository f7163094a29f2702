package transport_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

type maker func(ctx context.Context, method, url string, body io.Reader) (*http.Request, error)

// parts are what a request is made of, but for its context and its functions.
func parts(t *testing.T, of maker, method, url string, body io.Reader) string {
	t.Helper()
	req, err := of(context.Background(), method, url, body)
	if err != nil {
		return err.Error()
	}
	rewinds := req.GetBody != nil
	plain := *req.WithContext(context.Background())
	plain.GetBody, plain.Body = nil, nil
	u, user := *plain.URL, plain.URL.User
	u.User, plain.URL = nil, nil
	return fmt.Sprintf("%v@ %#v %#v, body %T, rewinds %v", user, u, plain, req.Body, rewinds)
}

func alike(t *testing.T, method, url string, body func() io.Reader) {
	t.Helper()
	want, got := parts(t, http.NewRequestWithContext, method, url, body()), parts(t, transport.NewRequest, method, url, body())
	if got != want {
		t.Errorf("%q %q is\n%s\nand not\n%s", method, url, got, want)
	}
}

func TestNewRequestMakesWhatNetHTTPMakes(t *testing.T) {
	nothing := func() io.Reader { return nil }
	for _, url := range []string{
		"https://api.example/users/me", "https://api.example/users/me?x=1&y=%20", "http://127.0.0.1:8080/", "https://api.example", "https://api.example/?",
		"https://api.example/a?b?c", "https://api.example/a#b", "https://api.example/a?b#c", "https://api.example/a%2Fb", "https://api.example/ä", "https://u:p@api.example/",
		"https://[::1]:8080/", "https://api.example:/", "https://api.example:x/", "https://:80/", "https:///x", "//api.example/x", "/x", "x", "", "HTTPS://api.example/", "https://api.example/a b",
		"https://api.example/a;b", "https://api.example/a?b c", "https://api.example/\x00", "https://api.example//..//.", "ftp://api.example/", "https://API.example/X", "https://a_b/",
	} {
		alike(t, "GET", url, nothing)
	}
	for _, method := range []string{"", "get", "PUT", "PURGE", "A B", "CONNECT", "HEAD", "TRACE"} {
		alike(t, method, "https://api.example/", nothing)
	}
	for name, body := range map[string]func() io.Reader{
		"strings":   func() io.Reader { return strings.NewReader("body") },
		"no bytes":  func() io.Reader { return strings.NewReader("") },
		"NoBody":    func() io.Reader { return http.NoBody },
		"something": func() io.Reader { return io.MultiReader(strings.NewReader("x")) },
	} {
		t.Run(name, func(t *testing.T) { alike(t, "POST", "https://api.example/", body) })
	}
	var absent context.Context
	if _, err := transport.NewRequest(absent, "GET", "https://api.example/", nil); err == nil {
		t.Error("a nil context was taken")
	}
}

func FuzzNewRequest(f *testing.F) {
	for _, url := range []string{"https://api.example:8443/a/b-c_d.e~f?g=h&i=%6a", "http://h/?", "https://h:0/..//", "https://h/\xff", "https://-/:@", "https://h:65536/x?#"} {
		f.Add("GET", url)
	}
	f.Fuzz(func(t *testing.T, method, url string) { alike(t, method, url, func() io.Reader { return nil }) })
}

// B1, B6, B12: the room for a copy is used once, and what was sent stays as it was.
func TestARequestOfNewRequestIsSentTwice(t *testing.T) {
	r := newRig(t, echo)
	var sent []*http.Request
	var then []string
	r.transport.Base = baseFunc(func(req *http.Request) (*http.Response, error) {
		sent, then = append(sent, req), append(then, req.Header.Get("Authorization"))
		return r.base.RoundTrip(req)
	})
	req, err := transport.NewRequest(r.ctx, "GET", r.url+"/path?query", nil)
	if err != nil {
		t.Fatal(err)
	}
	before := *req
	for range 2 {
		resp, err := r.transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		equal(t, "status", resp.StatusCode, 200)
		equal(t, "the caller's request is that of the response", resp.Request, req)
		if !reflect.DeepEqual(before, *req) {
			t.Errorf("the caller's request is now %+v", req)
		}
	}
	equal(t, "sendings", len(sent), 3)
	for i, s := range sent {
		equal(t, "Authorization of a request that was sent before", s.Header.Get("Authorization"), then[i])
	}
	if sent[0] == sent[1] || sent[1] == sent[2] || sent[0] == sent[2] {
		t.Error("a copy was sent twice")
	}
}

// A context that is derived from a request's may be that of another request.
func TestRequestsThatShareAContextOfNewRequest(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if stale(req) {
			unauthorized(w)
			return
		}
		io.WriteString(w, req.Method+" "+req.URL.Path)
	})
	r.client.Timeout = time.Minute // so that the client copies requests
	first, err := transport.NewRequest(r.ctx, "GET", r.url+"/first", nil)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			path := fmt.Sprint("/other/", i)
			a := call(t, r.client, newRequest(first.Context(), "PUT", r.url+path, nil))
			equal(t, "what was asked for", a.body, "PUT "+path)
		})
	}
	all.Go(func() { equal(t, "what was asked for", call(t, r.client, first).body, "GET /first") })
	all.Wait()
	r.wantRefreshes(t, 1)
}

type keyOfOurs struct{}

// B75
func TestTheContextOfNewRequestPrintsNoToken(t *testing.T) {
	r := newRig(t, echo)
	req, err := transport.NewRequest(r.ctx, "GET", r.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := call(t, r.client, req)
	derived, cancel := context.WithCancel(context.WithValue(req.Context(), keyOfOurs{}, "value"))
	defer cancel()
	for _, v := range []any{req, req.Context(), derived, a.Response, a.Response.Request} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if out := fmt.Sprintf(verb, v); strings.Contains(out, "access-") || strings.Contains(out, fmt.Sprintf("%x", "access-")) {
				t.Errorf("%s of a %T: %s", verb, v, out)
			}
		}
	}
}

// B1, B8: a header that requests share is changed by none of them.
func TestRequestsWithoutAHeaderShareOne(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("X-Names", strings.Join(slices.Sorted(maps.Keys(req.Header)), " "))
		if stale(req) {
			unauthorized(w)
		}
	})
	token := tokencache.NewToken(tokencache.TokenFields{Access: "access-0", Refresh: "refresh-0"})
	ctx := httptrace.WithClientTrace(tokencache.NewContext(t.Context(), tokencache.New(r.coordinator, token)), &httptrace.ClientTrace{WroteHeaderField: func(string, []string) {}})
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			req := made(t, ctx, r.url+"/")
			wantStatus(t, call(t, r.client, req), 200)
			equal(t, "headers of the caller's request", len(req.Header), 0)
		})
	}
	all.Wait()
	r.wantRefreshes(t, 1)
	ctx = tokencache.NewContext(t.Context(), tokencache.New(r.coordinator, token))
	r.transport.Unauthorized = func(resp *http.Response) bool {
		equal(t, "headers of the server's request", resp.Header.Get("X-Names"), "Accept-Encoding Authorization User-Agent")
		return false
	}
	call(t, r.client, made(t, ctx, r.url+"/"))
}

// A Base that adds headers to what it is given, though it may not, is one that
// requests share nothing through.
func TestABaseThatAddsHeadersAddsThemToOneRequest(t *testing.T) {
	r := newRig(t, echo)
	r.transport.Base = baseFunc(func(req *http.Request) (*http.Response, error) {
		req.Header.Add("X-Trace", "added")
		equal(t, "added headers", len(req.Header["X-Trace"]), 1)
		return r.base.RoundTrip(req)
	})
	for range 3 {
		wantStatus(t, r.get(t), 200)
	}
}
