package redisstore

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conns are the connections of a Client of ours. Where a machine or a network is
// gone without a word, those that wait in the pool are all dead, and each command
// would find out about one of them by waiting for it. Here the first one that
// waits in vain ends all others that have been silent as long.
type conns struct {
	mu   sync.Mutex
	open map[*conn]struct{}
}

// conn notes when its server was heard last.
type conn struct {
	net.Conn
	of    *conns
	heard atomic.Int64 // in ns since 1970
}

// checked is a conn that the pool can look at before it is used again.
type checked struct {
	*conn
	syscall.Conn
}

type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// dial keeps what d dials.
func (s *conns) dial(d dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		plain, err := d(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: plain, of: s}
		c.hear()
		s.mu.Lock()
		if s.open == nil {
			s.open = make(map[*conn]struct{})
		}
		s.open[c] = struct{}{}
		s.mu.Unlock()
		if sys, ok := plain.(syscall.Conn); ok {
			return checked{c, sys}, nil
		}
		return c, nil
	}
}

func (c *conn) hear() { c.heard.Store(time.Now().UnixNano()) }

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	began := time.Now()
	n, err := c.Conn.Read(p)
	var late net.Error
	switch {
	case n > 0:
		c.hear()
	case errors.As(err, &late) && late.Timeout() && time.Since(began) >= unanswered/2: // not for a caller with no time
		c.of.end(began)
	}
	return n, err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// end closes the connections that were not heard since then. Who uses one meets
// an error, and its command is sent again.
func (s *conns) end(since time.Time) {
	s.mu.Lock()
	var silent []*conn
	for c := range s.open {
		if c.heard.Load() < since.UnixNano() {
			silent = append(silent, c)
		}
	}
	s.mu.Unlock()
	for _, c := range silent {
		c.Close()
	}
}
