package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
)

// A server comes and goes, as a process would. The database stays.
type server struct {
	issuer string
	addr   string
	db     *database

	running *http.Server // nil: it is down
}

// newServer listens at once: the issuer holds the port, so no free port has to
// be guessed.
func newServer(env settings) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	s := &server{issuer: "http://" + addr, addr: addr, db: newDatabase(env)}
	if err := s.db.keys.rotate(); err != nil {
		return nil, err
	}
	s.serve(l)
	return s, nil
}

// obey does what a line of stdin says.
func (s *server) obey(command string) error {
	switch command {
	case "down":
		return s.down()
	case "up":
		return s.up()
	case "rotate":
		return s.db.keys.rotate()
	}
	return fmt.Errorf("unknown command %q", command)
}

// down closes the listener and every connection, also of requests under way.
func (s *server) down() error {
	if s.running == nil {
		return errors.New("it is down already")
	}
	running := s.running
	s.running = nil
	return running.Close()
}

// up listens on the same port again, with a server made anew.
func (s *server) up() error {
	if s.running != nil {
		return errors.New("it is up already")
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.serve(l)
	return nil
}

// serve takes the example whole: endpoints, login page and the key that its
// access tokens are encrypted with, which is the same after down and up.
func (s *server) serve(l net.Listener) {
	s.running = &http.Server{Handler: exampleop.SetupServer(s.issuer, s.db, nil, false)}
	go s.running.Serve(l)
}
