package authtest

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
)

// Wire is what a server speaks.
type Wire int

const (
	// Plain is HTTP/1.1 without TLS.
	Plain Wire = iota
	// TLS is HTTP/1.1 over TLS.
	TLS
	// HTTP2 is HTTP/2 over TLS, and HTTP/1.1 for who does not know it.
	HTTP2
)

// server is an httptest.Server whose Close waits for nobody: the contexts of all
// requests end and their connections are cut.
type server struct {
	http *httptest.Server
	stop context.CancelFunc

	// running is held for reading by every handler. HTTP/2 runs them in
	// goroutines that may outlive their connection.
	running sync.RWMutex
}

func (s *server) start(wire Wire, h http.Handler) {
	// Not httptest.NewServer, which may listen on ::1 instead.
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic("authtest: " + err.Error())
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.http = &httptest.Server{Listener: l, Config: &http.Server{
		BaseContext: func(net.Listener) context.Context { return ctx },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.running.RLock()
			defer s.running.RUnlock()
			h.ServeHTTP(w, r)
		}),
	}}
	switch wire {
	case TLS:
		s.http.StartTLS()
	case HTTP2:
		s.http.EnableHTTP2 = true
		s.http.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
		s.http.StartTLS()
	default:
		s.http.Start()
	}
}

func (s *server) close() {
	s.stop()
	s.http.Listener.Close()
	s.http.CloseClientConnections()
	s.http.Close()
	s.running.Lock()
	defer s.running.Unlock()
}

func (s *server) transport() *http.Transport {
	return s.http.Client().Transport.(*http.Transport)
}
