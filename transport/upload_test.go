package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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

// B42: the refresh, which may need the connection of the 401, begins when that is
// closed, and nobody else closes it at the same time.
func TestTheRefreshBeginsWhenThe401IsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := &slowly{Reader: strings.NewReader("no")}
		r := newStub(t, nil, nil)
		r.transport.Base = baseFunc(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 401, ContentLength: -1, Body: body}, nil
		})
		closed := 0
		r.issuer.before = func(context.Context) error { closed = body.closed; return errors.New("no") }
		wantStatus(t, r.get(t), 401)
		equal(t, "closed", closed, 1)
		equal(t, "closed in the end", body.closed, 1)
	})
}

// slowly is a body for one goroutine, whose Close takes a moment.
type slowly struct {
	io.Reader
	closed int
}

func (s *slowly) Close() error {
	time.Sleep(time.Millisecond)
	s.closed++
	return nil
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
