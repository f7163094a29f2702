//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// did counts what a replica does on its ways.
type did struct {
	calls, unauthorized, replayed, more atomic.Int64

	mu      sync.Mutex
	refused map[string]int
}

// deeds are what it has counted.
type deeds struct {
	Calls        int64          // of the API, by handlers
	Unauthorized int64          // answers
	Replayed     int64          // calls that were sent a second time
	More         int64          // calls that were sent a third time: a bug
	Refused      map[string]int // connections, by the address that they were to go to
}

func (d *did) read() deeds {
	d.mu.Lock()
	defer d.mu.Unlock()
	return deeds{d.calls.Load(), d.unauthorized.Load(), d.replayed.Load(), d.more.Load(), maps.Clone(d.refused)}
}

type sendsKey struct{}

// call counts one, which ends with a call of ended. What is sent for it has the
// context.
func (d *did) call(ctx context.Context) (_ context.Context, ended func()) {
	d.calls.Add(1)
	sends := new(atomic.Int32)
	return context.WithValue(ctx, sendsKey{}, sends), func() {
		if sends.Load() > 1 {
			d.replayed.Add(1)
		}
		if sends.Load() > 2 {
			d.more.Add(1)
		}
	}
}

// sent stands below the transport of rebearer.
type sent struct {
	http.RoundTripper
	did *did
}

func (s *sent) RoundTrip(r *http.Request) (*http.Response, error) {
	if sends, ok := r.Context().Value(sendsKey{}).(*atomic.Int32); ok {
		sends.Add(1)
	}
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		s.did.unauthorized.Add(1)
	}
	return resp, err
}

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialing counts the connections that are refused: a proxy does not see those.
func (d *did) dialing(dial dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if errors.Is(err, syscall.ECONNREFUSED) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.refused == nil {
				d.refused = map[string]int{}
			}
			d.refused[addr]++
		}
		return c, err
	}
}

// dialHook is dialing for Redis.
type dialHook struct{ did *did }

func (h dialHook) DialHook(next redis.DialHook) redis.DialHook          { return h.did.dialing(next) }
func (h dialHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (h dialHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// watched tells of each request to the token endpoint whose answer did not come,
// and gives each a name by which the authorization server knows it.
type watched struct {
	http.RoundTripper
	name   string
	teller *teller
	serial atomic.Int64
}

func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	id := fmt.Sprint(w.name, "-", w.serial.Add(1))
	r = r.Clone(r.Context())
	r.Header.Set(attemptHeader, id)
	resp, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		w.teller.tell(event{Lost: &attempt{id, err.Error()}})
		return nil, err
	}
	resp.Body = &watchedBody{resp.Body, func(err error) { w.teller.tell(event{Lost: &attempt{id, err.Error()}}) }}
	return resp, nil
}

type watchedBody struct {
	io.ReadCloser
	lost func(error)
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.lost(err)
	}
	return n, err
}
