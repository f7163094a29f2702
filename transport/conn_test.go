package transport_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"time"
)

// wire is a connection whose other end answers each request without a body with
// 200, and allocates nothing for that: what is counted is the client's.
type wire struct {
	net.Conn
	asked chan struct{}
	open  chan struct{}
}

func (w *wire) Write(p []byte) (int, error) {
	if bytes.HasSuffix(p, []byte("\r\n\r\n")) {
		w.asked <- struct{}{}
	}
	return len(p), nil
}

func (w *wire) Read(p []byte) (int, error) {
	select {
	case <-w.asked:
		return copy(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), nil
	case <-w.open:
		return 0, net.ErrClosed
	}
}

func (w *wire) Close() error                   { close(w.open); return nil }
func (*wire) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*wire) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*wire) SetDeadline(time.Time) error      { return nil }
func (*wire) SetReadDeadline(time.Time) error  { return nil }
func (*wire) SetWriteDeadline(time.Time) error { return nil }

// wired is an http.Transport over such a connection.
func wired() *http.Transport {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return &wire{asked: make(chan struct{}, 1), open: make(chan struct{})}, nil
	}}
}
