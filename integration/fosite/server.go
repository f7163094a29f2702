package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
)

// A server comes and goes, as a process would. The database and the keys stay,
// as they would in a real database.
type server struct {
	issuer string
	addr   string
	env    settings
	db     *database
	keys   *keyring
	secret []byte // of the refresh tokens' HMAC

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
	s := &server{issuer: "http://" + addr, addr: addr, env: env, keys: &keyring{}, secret: newSecret()}
	if err := s.keys.rotate(); err != nil {
		return nil, err
	}
	if s.db, err = newDatabase(env); err != nil {
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
		return s.keys.rotate()
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

func (s *server) serve(l net.Listener) {
	s.running = &http.Server{Handler: newProvider(s)}
	go s.running.Serve(l)
}
