package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// newStub returns a rig in a bubble whose Base answers a stale token with the
// answer, and reads of the request's body what the test says.
func newStub(t *testing.T, answer *closes, read func(io.Reader)) *rig {
	r := newBubble(t, nil)
	r.transport.Base = baseFunc(func(req *http.Request) (*http.Response, error) {
		if read != nil {
			read(req.Body)
			req.Body.Close()
		}
		if stale(req) {
			return &http.Response{StatusCode: 401, Body: answer}, nil
		}
		return &http.Response{StatusCode: 200}, nil
	})
	return r
}

// B42, invariant 8: closed before the refresh, not when the garbage is collected.
func TestThe401IsClosedBeforeTheRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := &closes{Reader: strings.NewReader("no")}
		r := newStub(t, answer, nil)
		r.issuer.before = func(context.Context) error {
			equal(t, "times that the 401 was closed", answer.n.Load(), 1)
			return nil
		}
		wantStatus(t, r.get(t), 200)
	})
}

// B42: what is longer than is drained is closed before the second attempt, and
// where there is none, left to the caller or closed.
func TestALong401IsClosedToo(t *testing.T) {
	for name, refresh := range map[string]func(*rig, context.CancelFunc) error{
		"when it is replayed":   func(*rig, context.CancelFunc) error { return nil },
		"when the caller left":  func(_ *rig, cancel context.CancelFunc) error { cancel(); return nil },
		"when it goes back":     func(*rig, context.CancelFunc) error { return errors.New("no") },
		"when both come to it ": func(_ *rig, cancel context.CancelFunc) error { cancel(); return errors.New("no") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer := &closes{Reader: strings.NewReader(strings.Repeat("x", 1<<20))}
				r := newStub(t, answer, nil)
				ctx, cancel := context.WithCancel(r.ctx)
				defer cancel()
				r.issuer.before = func(context.Context) error { return refresh(r, cancel) }
				try(r.client, newRequest(ctx, "GET", r.url, nil))
				if answer.n.Load() == 0 {
					t.Error("the 401 is open")
				}
			})
		})
	}
}

// B43, T-J7
func TestTheAnswersAreClosedIfTheCallerLeavesWhileTheyAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := &closes{Reader: strings.NewReader(strings.Repeat("x", 1<<20))}
		body := &closes{Reader: strings.NewReader("body")}
		r := newStub(t, answer, func(body io.Reader) { io.Copy(io.Discard, body) })
		ctx, cancel := context.WithCancel(r.ctx)
		r.transport.Unauthorized = func(*http.Response) bool { cancel(); return true }
		_, err := try(r.client, newRequest(ctx, "POST", r.url, body))
		if !errors.Is(err, context.Canceled) || answer.n.Load() == 0 || body.n.Load() != 1 {
			t.Errorf("%v, the 401 was closed %d times and the body %d", err, answer.n.Load(), body.n.Load())
		}
		r.wantRefreshes(t, 0)
	})
}

// B40: a 401 that will go back is not touched: its end may wait for that of the
// upload.
func TestThe401ToALostBodyIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := &closes{Reader: iotest.ErrReader(errors.New("read"))}
		r := newStub(t, answer, func(body io.Reader) { io.Copy(io.Discard, body) })
		r.transport.MaxBody = 2
		resp, err := r.transport.RoundTrip(newRequest(r.ctx, "POST", r.url, unrewindable([]byte("body"))))
		if err != nil || resp.Body != answer || answer.n.Load() != 0 {
			t.Errorf("%v, %v", resp, err)
		}
		r.wantRefreshes(t, 1)
	})
}

// B40: with a negative limit not a byte is kept.
func TestNothingIsKeptIfThatIsForbidden(t *testing.T) {
	for limit, want := range map[int64]int{-1: 401, 1: 200, 0: 200} {
		synctest.Test(t, func(t *testing.T) {
			r := newStub(t, &closes{Reader: strings.NewReader("no")}, func(body io.Reader) { io.Copy(io.Discard, body) })
			r.transport.MaxBody = limit
			wantStatus(t, call(t, r.client, newRequest(r.ctx, "POST", r.url, unrewindable([]byte("x")))), want)
		})
	}
}

// B21, B43: a body that hangs when the 401 comes is waited for until the caller
// leaves, and a second at most.
func TestABodyThatHangsIsNotWaitedFor(t *testing.T) {
	for name, test := range map[string]struct {
		leave, want time.Duration
		err         error
	}{
		"the caller leaves": {10 * time.Millisecond, 10 * time.Millisecond, context.DeadlineExceeded},
		"the caller stays":  {time.Hour, time.Second, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newStub(t, &closes{Reader: strings.NewReader("no")}, func(body io.Reader) {
					go body.Read(make([]byte, 1))
					synctest.Wait()
				})
				pr, pw := io.Pipe()
				defer pw.Close()
				ctx, cancel := context.WithTimeout(r.ctx, test.leave)
				defer cancel()
				began := time.Now()
				resp, err := r.transport.RoundTrip(newRequest(ctx, "POST", r.url, pr))
				if !errors.Is(err, test.err) || err == nil && resp.StatusCode != 401 {
					t.Errorf("%v, want %v", err, test.err)
				}
				equal(t, "waited", time.Since(began), test.want)
				synctest.Wait()
				if _, err := pw.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("the body is open: %v", err)
				}
			})
		})
	}
}

// B42: a 401 that does not end is given up after a second.
func TestA401WithoutAnEndIsNotWaitedFor(t *testing.T) {
	for _, length := range []int64{-1, 0, 3} {
		synctest.Test(t, func(t *testing.T) {
			pr, pw := io.Pipe()
			defer pw.Close()
			r := newStub(t, &closes{Reader: pr}, nil)
			answers := r.transport.Base
			r.transport.Base = baseFunc(func(req *http.Request) (*http.Response, error) {
				resp, err := answers.RoundTrip(req)
				if resp.ContentLength = length; length > 0 && resp.StatusCode == 401 {
					resp.Body = pr // whose Close ends a Read
				}
				return resp, err
			})
			go pw.Write([]byte("no"))
			began := time.Now()
			wantStatus(t, r.get(t), 200)
			equal(t, "waited", time.Since(began), time.Second)
		})
	}
}

// B42: over a socket, and where the refresh fails so that the 401 goes back, with
// what there was of its body.
func TestA401ThatBreaksOff(t *testing.T) {
	for name, length := range map[string]string{"short": "3", "long": "5000", "chunked": ""} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
				if !stale(req) {
					return
				}
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				w.WriteHeader(401)
				io.WriteString(w, "no")
				http.NewResponseController(w).Flush()
				<-req.Context().Done()
			})
			wantStatus(t, r.get(t), 200)
			r.issuer.before = func(context.Context) error { return errors.New("no") }
			ctx := newSession(r)
			resp, err := r.client.Do(newRequest(ctx, "GET", r.url, nil))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); resp.StatusCode != 401 || err == nil {
				t.Errorf("%d, %q, %v", resp.StatusCode, body, err)
			}
		})
	}
}
