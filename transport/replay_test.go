package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/rebearer/rebearer/authtest"
)

// wires are the protocols under the same tests (B44).
var wires = map[string]func(*testing.T, http.HandlerFunc) *rig{
	"HTTP/1.1": newRig,
	"TLS": func(t *testing.T, api http.HandlerFunc) *rig {
		server := httptest.NewTLSServer(api)
		return newRigOn(t, server)
	},
	"HTTP/2": newHTTP2Rig,
}

func onEveryWire(t *testing.T, api http.HandlerFunc, f func(*testing.T, *rig)) {
	for name, newRig := range wires {
		t.Run(name, func(t *testing.T) { f(t, newRig(t, api)) })
	}
}

// bodies are the ways to give a request a body.
var bodies = map[string]func(t *testing.T, req *http.Request, body []byte){
	"with GetBody": func(_ *testing.T, req *http.Request, body []byte) {
		req.Body, req.ContentLength = unrewindable(body), int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return unrewindable(body), nil }
	},
	"kept, of known length": func(_ *testing.T, req *http.Request, body []byte) {
		req.Body, req.ContentLength = unrewindable(body), int64(len(body))
	},
	"kept, of unknown length": func(_ *testing.T, req *http.Request, body []byte) {
		req.Body, req.ContentLength = unrewindable(body), -1
	},
	"kept, in small pieces": func(_ *testing.T, req *http.Request, body []byte) {
		req.Body = io.NopCloser(iotest.HalfReader(iotest.DataErrReader(bytes.NewReader(body))))
		req.ContentLength = -1
	},
	"from a file": func(t *testing.T, req *http.Request, body []byte) {
		name := filepath.Join(t.TempDir(), "upload")
		if err := os.WriteFile(name, body, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		req.Body, req.ContentLength = f, int64(len(body))
	},
}

// digest echoes as echo does, but a digest instead of the body.
func digest(w http.ResponseWriter, r *http.Request) {
	hash := sha256.New()
	n, err := io.Copy(hash, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if stale(r) {
		unauthorized(w)
		return
	}
	fmt.Fprintf(w, "%d %x, Content-Length %d, %v", n, hash.Sum(nil), r.ContentLength, r.TransferEncoding)
}

// pattern is a body of which no two parts are the same.
func pattern(size int) []byte { return longest()[:size] }

var longest = sync.OnceValue(func() []byte {
	b := make([]byte, 10<<20)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
})

// B39, B44, T-J1: what the API is sent the second time is what it would have
// been sent by Base alone with a token that works.
func TestABodyIsReplayedByteForByte(t *testing.T) {
	sizes := []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, firstTime(t, 10<<20)}
	onEveryWire(t, digest, func(t *testing.T, r *rig) {
		r.transport.MaxBody = 10 << 20
		for _, size := range sizes {
			body := pattern(size)
			for name, give := range bodies {
				if size > 64<<10+1 && name != "kept, of known length" {
					continue // it would only take longer
				}
				t.Run(fmt.Sprint(size, " bytes ", name), func(t *testing.T) {
					alone := newRequest(t.Context(), "PUT", r.url, nil)
					give(t, alone, body)
					want := call(t, &http.Client{Transport: r.base}, alone)

					req := onlyStale(r, newRequest(t.Context(), "PUT", r.url, nil))
					give(t, req, body)
					got := call(t, r.client, req)
					wantStatus(t, got, 200)
					equal(t, "the second attempt", got.body, want.body)
				})
			}
		}
	})
}

// onlyStale gives the request a session of its own, whose token is stale.
func onlyStale(r *rig, req *http.Request) *http.Request {
	return req.WithContext(newSession(r))
}

// B38
func TestARequestWithoutABodyIsReplayed(t *testing.T) {
	onEveryWire(t, digest, func(t *testing.T, r *rig) {
		for name, body := range map[string]io.ReadCloser{"nil": nil, "http.NoBody": http.NoBody} {
			for _, method := range []string{"GET", "POST", "DELETE", "PATCH"} {
				t.Run(method+" "+name, func(t *testing.T) {
					req := onlyStale(r, newRequest(t.Context(), method, r.url, nil))
					req.Body, req.GetBody = body, nil
					a := call(t, r.client, req)
					wantStatus(t, a, 200)
					if !strings.HasPrefix(a.body, "0 ") {
						t.Errorf("body: %q", a.body)
					}
				})
			}
		}
	})
}

// B40, T-J2
func TestABodyPastTheLimitIsSentOnce(t *testing.T) {
	const long = "no, and here is why not"
	for _, size := range []int{64<<10 + 1, 10 << 20} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			onEveryWire(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if stale(r) {
					w.WriteHeader(http.StatusUnauthorized)
					io.WriteString(w, long)
				}
			}, func(t *testing.T, r *rig) {
				r.transport.MaxBody = 64 << 10
				post := func() answer {
					return call(t, r.client, newRequest(r.ctx, "POST", r.url, unrewindable(pattern(size))))
				}
				a := post()
				wantStatus(t, a, 401)
				equal(t, "the 401's body", a.body, long)
				r.wantRefreshes(t, 1)
				wantStatus(t, post(), 200)
				r.wantRefreshes(t, 1)
			})
		})
	}
}

// T-J2: whatever stands in the way of the second attempt.
func TestA401ThatIsNotReplayedIsWhole(t *testing.T) {
	for _, length := range []int{0, 1, 64 << 10, 64<<10 + 1, 1 << 20} {
		for name, change := range map[string]func(*rig, *http.Request){
			"the refresh fails": func(r *rig, _ *http.Request) {
				r.issuer.before = func(context.Context) error { return errors.New("no") }
			},
			"GetBody fails": func(_ *rig, req *http.Request) {
				req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("no") }
			},
			"the body is not kept": func(r *rig, req *http.Request) {
				r.transport.MaxBody, req.GetBody = -1, nil
			},
		} {
			t.Run(fmt.Sprint(name, ", ", length, " bytes"), func(t *testing.T) {
				want := string(pattern(length))
				r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					w.WriteHeader(http.StatusUnauthorized)
					io.WriteString(w, want)
				})
				req := newRequest(r.ctx, "POST", r.url, strings.NewReader("body"))
				change(r, req)
				a := call(t, r.client, req)
				wantStatus(t, a, 401)
				equal(t, "length of the 401's body", len(a.body), length)
				equal(t, "the 401's body is what the API said", a.body == want, true)
			})
		}
	}
}

// B41, T-J7: the API answers before it asks for the body.
func TestExpect100ContinueSendsTheUnreadBody(t *testing.T) {
	body := pattern(10 << 20) // more than is ever kept
	for name, limit := range map[string]int64{"with the default limit": 0, "with nothing kept": -1} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				if stale(r) {
					unauthorized(w)
					return
				}
				digest(w, r)
			})
			r.base.ExpectContinueTimeout = time.Minute
			r.transport.MaxBody = limit
			src := &closes{Reader: bytes.NewReader(body)}
			req := newRequest(r.ctx, "PUT", r.url, src)
			req.ContentLength = int64(len(body))
			req.Header.Set("Expect", "100-continue")
			a := call(t, r.client, req)
			wantStatus(t, a, 200)
			equal(t, "body", a.body, fmt.Sprintf("%d %x, Content-Length %d, []", len(body), sha256.Sum256(body), len(body)))
			equal(t, "times that the source was closed", src.n.Load(), 1)
		})
	}
}

// B39, B42: the 401 comes while the body is still being sent. A body that is
// not lost by then is sent again whole, another one not at all.
func TestA401InTheMiddleOfAnUpload(t *testing.T) {
	body := pattern(2 << 20)
	early := func(w http.ResponseWriter, r *http.Request) {
		if !stale(r) {
			digest(w, r)
			return
		}
		io.ReadFull(r.Body, make([]byte, 32<<10))
		http.NewResponseController(w).EnableFullDuplex() // or HTTP/1.1 reads on before it answers
		w.Header().Set("Connection", "close")            // for it will not read the rest (RFC 9112 section 9.3)
		unauthorized(w)
	}
	want := fmt.Sprintf("%d %x", len(body), sha256.Sum256(body))
	onEveryWire(t, early, func(t *testing.T, r *rig) {
		for name, give := range bodies {
			for _, limit := range []int64{64 << 10, 2 << 20} {
				t.Run(fmt.Sprint(name, ", keeping ", limit), func(t *testing.T) {
					r.transport.MaxBody = limit
					req := onlyStale(r, newRequest(t.Context(), "PUT", r.url, nil))
					give(t, req, body)
					a, err := try(r.client, req)
					switch {
					case err == nil && a.status == 401 && req.GetBody == nil:
					case err != nil || a.status != 200 || !strings.HasPrefix(a.body, want):
						t.Errorf("%d %.100s, %v", a.status, a.body, err)
					}
				})
			}
		}
	})
}

// B39: an upload that hangs when the 401 comes is not waited for longer than it
// takes the caller to leave.
func TestAnUploadThatHangsIsLeft(t *testing.T) {
	var body atomic.Pointer[hanging]
	onEveryWire(t, func(w http.ResponseWriter, r *http.Request) {
		<-body.Load().reached
		http.NewResponseController(w).EnableFullDuplex()
		unauthorized(w)
		w.(http.Flusher).Flush()
	}, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(r.ctx)
		pr, pw := io.Pipe()
		defer pw.Close()
		body.Store(&hanging{PipeReader: pr, reached: make(chan struct{})})
		// Before it has an answer, net/http itself waits for such a body.
		r.transport.Base = baseFunc(func(req *http.Request) (*http.Response, error) {
			resp, err := r.base.RoundTrip(req)
			time.AfterFunc(50*time.Millisecond, cancel)
			return resp, err
		})
		resp, err := r.transport.RoundTrip(newRequest(ctx, "POST", r.url, body.Load()))
		if resp != nil {
			resp.Body.Close()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		for err = nil; err == nil; { // the Read that hangs takes the first, if it is not closed yet
			_, err = pw.Write([]byte("x"))
		}
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the body is still open: %v", err)
		}
	})
}

// hanging is a body that says when it is read.
type hanging struct {
	*io.PipeReader
	once    sync.Once
	reached chan struct{}
}

func (h *hanging) Read(p []byte) (int, error) {
	h.once.Do(func() { close(h.reached) })
	return h.PipeReader.Read(p)
}

// connections counts the connections that a server accepts.
func connections(t *testing.T, api http.HandlerFunc) (*rig, *atomic.Int32) {
	var n atomic.Int32
	server := httptest.NewUnstartedServer(api)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			n.Add(1)
		}
	}
	return newRigOn(t, server), &n
}

// B42: google/go-containerregistry#2454
func TestTheConnectionOfThe401IsUsedAgain(t *testing.T) {
	for _, length := range []int{0, 100, 64 << 10} {
		t.Run(fmt.Sprint(length, " bytes of 401"), func(t *testing.T) {
			r, n := connections(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if stale(r) {
					w.WriteHeader(http.StatusUnauthorized)
					w.Write(pattern(length))
				}
			})
			r.base.MaxConnsPerHost = 1
			wantStatus(t, call(t, r.client, newRequest(r.ctx, "POST", r.url, strings.NewReader("x"))), 200)
			equal(t, "connections", n.Load(), 1)
		})
	}
}

// B42: neither waits for ever.
func TestA401WhoseConnectionCannotBeKeptIsReplayed(t *testing.T) {
	for name, refuse := range map[string]func(http.ResponseWriter, *http.Request){
		"Connection: close": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close"); unauthorized(w) },
		"1 MiB of it":       func(w http.ResponseWriter, _ *http.Request) { unauthorized(w); w.Write(pattern(1 << 20)) },
		"without an end": func(w http.ResponseWriter, r *http.Request) {
			unauthorized(w)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"compressed, without an end": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(http.StatusUnauthorized)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			unauthorized(w)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if stale(r) {
					refuse(w, r)
				}
			})
			r.base.MaxConnsPerHost = 1
			if strings.HasPrefix(name, "compressed") { // its Close waits, and its connection with it
				r.base.MaxConnsPerHost = 0
				t.Cleanup(r.server.CloseClientConnections)
			}
			wantStatus(t, call(t, r.client, newRequest(r.ctx, "POST", r.url, unrewindable([]byte("x")))), 200)
			r.wantRefreshes(t, 1)
		})
	}
}

// B43, T-J6: what has begun is not begun again.
func TestAStreamIsNotReplayed(t *testing.T) {
	t.Run("server-sent events", func(t *testing.T) {
		w := newWorld(t, grantStyle, authtest.ASConfig{})
		next := make(chan struct{})
		w.api.Intercept(func(rw http.ResponseWriter, r *http.Request, _ http.Handler) {
			for _, event := range []string{"data: 1\n", "data: 401\n"} {
				io.WriteString(rw, event)
				rw.(http.Flusher).Flush()
				<-next
			}
		})
		ctx, _ := w.signIn("ann")
		resp, err := w.client.Do(newRequest(ctx, "GET", w.api.URL+"/slow", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for _, want := range []string{"data: 1\n", "data: 401\n"} {
			line, err := lines.ReadString('\n')
			if err != nil || line != want {
				t.Errorf("%q, %v", line, err)
			}
			w.as.RevokeAccess()
			next <- struct{}{}
		}
		equal(t, "requests", w.api.Counts().Requests, 1)
		wantPresentations(t, w.as, 0)
	})
	t.Run("an upgrade", func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			if stale(r) {
				unauthorized(w)
				return
			}
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "echo")
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			line, _ := rw.ReadString('\n')
			io.WriteString(conn, line)
		})
		req := newRequest(r.ctx, "GET", r.url, nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		equal(t, "status", resp.StatusCode, 101)
		stream, ok := resp.Body.(io.ReadWriteCloser)
		if !ok {
			t.Fatalf("the body is a %T", resp.Body)
		}
		io.WriteString(stream, "401\n")
		if line, err := bufio.NewReader(stream).ReadString('\n'); line != "401\n" {
			t.Errorf("%q, %v", line, err)
		}
		r.wantRefreshes(t, 1)
	})
}

// T-J7, T-J8
func TestTheSecondAttemptHasAllThatTheFirstHad(t *testing.T) {
	onEveryWire(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if stale(r) {
			unauthorized(w)
			return
		}
		w.Header().Set("Got", strings.Join([]string{
			r.Method, r.URL.RequestURI(), r.Host, r.Header.Get("Idempotency-Key"), r.Header.Get("Cookie"), r.Trailer.Get("Digest"),
		}, " "))
	}, func(t *testing.T, r *rig) {
		for name, give := range bodies {
			t.Run(name, func(t *testing.T) {
				req := onlyStale(r, newRequest(t.Context(), "PATCH", r.url+"/a%2Fb?c=d&c=e", nil))
				give(t, req, []byte("body"))
				req.ContentLength = -1 // trailers come after chunks
				req.Host = "api.test"
				req.Header.Set("Idempotency-Key", "key")
				req.Header.Set("Cookie", "a=b")
				req.Trailer = http.Header{"Digest": {"sum"}}
				a := call(t, r.client, req)
				wantStatus(t, a, 200)
				equal(t, "request", a.Header.Get("Got"), "PATCH /a%2Fb?c=d&c=e api.test key a=b sum")
			})
		}
	})
}
