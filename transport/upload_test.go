package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// B39: an upload waits for its 401, as that of a stream in both directions does. Over
// HTTP/2 closing the answer waits for the end of the upload, so nobody may wait for
// that.
func TestAnUploadThatWaitsForItsAnswer(t *testing.T) {
	onEveryWire(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.ReadFull(r.Body, make([]byte, len("the beginning")))
		time.Sleep(50 * time.Millisecond) // by now the next Read hangs
		w.Header().Set("Content-Length", "12")
		unauthorized(w)
	}, func(t *testing.T, r *rig) {
		pr, pw := io.Pipe()
		defer pw.Close()
		go pw.Write([]byte("the beginning"))
		resp := soon(t, func() (*http.Response, error) {
			return r.transport.RoundTrip(newRequest(r.ctx, "POST", r.url, pr))
		})
		if b, err := io.ReadAll(resp.Body); resp.StatusCode != 401 || len(b) != 12 || err != nil {
			t.Errorf("%d %q, %v", resp.StatusCode, b, err)
		}
		resp.Body.Close()
	})
}

// T-J7: the body of a request that a server has received is closed when its Read has
// ended, and not before. A browser that stalls does not hold up who has its answer.
func TestAnUploadThatIsPassedOnAndStalls(t *testing.T) {
	for _, status := range []int{401, 413} {
		onEveryWire(t, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			io.ReadFull(r.Body, make([]byte, 1000))
			w.Header().Set("Connection", "close")
			w.WriteHeader(status)
		}, func(t *testing.T, r *rig) {
			told := make(chan *http.Response, 1)
			bff := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
				told <- soon(t, func() (*http.Response, error) {
					return r.transport.RoundTrip(newRequest(r.ctx, "POST", r.url, in.Body))
				})
			}))
			defer bff.Close()
			pr, pw := io.Pipe()
			go pw.Write([]byte(strings.Repeat("x", 1000)))
			req := newRequest(context.Background(), "POST", bff.URL, pr)
			req.ContentLength = 100000
			go func() {
				if resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req); err == nil {
					resp.Body.Close()
				}
			}()
			if resp := <-told; resp.StatusCode != status {
				t.Errorf("%d, want %d", resp.StatusCode, status)
			} else {
				resp.Body.Close()
			}
			pw.CloseWithError(errors.New("the browser has left"))
		})
	}
}

// soon returns an answer that comes within some seconds.
func soon(t *testing.T, ask func() (*http.Response, error)) *http.Response {
	t.Helper()
	type answer struct {
		resp *http.Response
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		resp, err := ask()
		got <- answer{resp, err}
	}()
	select {
	case a := <-got:
		if a.err == nil {
			return a.resp
		}
		t.Error(a.err)
	case <-time.After(5 * time.Second):
		t.Error("it has not returned after 5 s")
	}
	return &http.Response{Body: http.NoBody}
}

// B40: the refresh may need the connection that the 401 came on.
func TestARefreshOverTheOnlyConnection(t *testing.T) {
	for name, length := range map[string]int{"a body that is kept": 10, "a body past the limit": 2 << 20} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				switch {
				case r.URL.Path == "/token":
					w.Header().Set("Content-Type", "application/json")
					io.WriteString(w, `{"access_token":"new","token_type":"Bearer","refresh_token":"refresh-1"}`)
				case r.Header.Get("Authorization") != "Bearer new":
					unauthorized(w)
				}
			}))
			defer server.Close()
			base := server.Client().Transport.(*http.Transport).Clone()
			base.MaxConnsPerHost = 1
			defer base.CloseIdleConnections()
			c := &tokencache.Coordinator{Timeout: 4 * time.Second, Refresher: &transport.TokenEndpoint{URL: server.URL + "/token", ClientID: "bff", Base: base}}
			settle(t, c)
			cache := tokencache.New(c, tokencache.NewToken(tokencache.TokenFields{Access: "old", Refresh: "refresh-0"}))
			ctx := tokencache.NewContext(t.Context(), cache)
			resp, err := (&transport.Transport{Base: base, Origins: []string{server.URL}}).RoundTrip(newRequest(ctx, "POST", server.URL, unrewindable(make([]byte, length))))
			if err != nil || cache.Err() != nil {
				t.Fatal(err, cache.Err())
			}
			resp.Body.Close()
			equal(t, "access token", cache.Token().Access(), "new")
		})
	}
}

// RFC 9110 section 9.3.2: the length that the answer to a HEAD names is not that of
// its body. A 401 that goes back ends where net/http's does.
func TestA401ToAHead(t *testing.T) {
	onEveryWire(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "12")
		w.WriteHeader(http.StatusUnauthorized)
	}, func(t *testing.T, r *rig) {
		base := r.base
		r.transport.Base = baseFunc(func(req *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(req)
			if err == nil { // as who measures what is read does
				resp.Body = struct{ io.ReadCloser }{resp.Body}
			}
			return resp, err
		})
		r.issuer.before = func(context.Context) error { return errors.New("no") }
		resp, err := r.client.Do(newRequest(r.ctx, "HEAD", r.url, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); len(b) > 0 || err != nil || resp.ContentLength != 12 {
			t.Errorf("%q, %v, length %d", b, err, resp.ContentLength)
		}
	})
}
