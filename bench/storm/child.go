//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
)

// variable says that this program is the servers. They are a process of their
// own, so that what they cost is not taken for what a contender does.
const variable = "REBEARER_STORM_SERVERS"

// addresses is where the servers listen.
type addresses struct{ API, AS, Control string }

// serve is the servers' process. It ends with its standard input.
func serve() {
	var now atomic.Pointer[session]
	now.Store(newSession(rule{}))
	as := http.NewServeMux()
	as.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { now.Load().token(w, r) })
	as.HandleFunc("GET /warm", new(warmth).gather)
	api := http.NewServeMux()
	api.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) { now.Load().api(w, r) })
	api.HandleFunc("GET /warm", new(warmth).gather)
	control := http.NewServeMux()
	control.HandleFunc("POST /begin", func(w http.ResponseWriter, r *http.Request) {
		var next rule
		if err := json.NewDecoder(r.Body).Decode(&next); err != nil {
			panic(err)
		}
		s := newSession(next)
		now.Store(s)
		json.NewEncoder(w).Encode(s.first)
	})
	control.HandleFunc("POST /tell", func(http.ResponseWriter, *http.Request) { close(now.Load().told) })
	control.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(now.Load().counts())
	})
	json.NewEncoder(os.Stdout).Encode(addresses{listen(api), listen(as), listen(control)})
	io.Copy(io.Discard, os.Stdin)
}

func listen(h http.Handler) (url string) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(l, h)
	return "http://" + l.Addr().String()
}

// warmth answers requests when as many are there as each of them says, so that
// whoever sends them has a connection for each.
type warmth struct {
	mu   sync.Mutex
	n    int
	full chan struct{}
}

func (w *warmth) gather(_ http.ResponseWriter, r *http.Request) {
	want, _ := strconv.Atoi(r.URL.Query().Get("n"))
	w.mu.Lock()
	if w.n == 0 {
		w.full = make(chan struct{})
	}
	full := w.full
	if w.n++; w.n >= want {
		w.n = 0
		close(full)
	}
	w.mu.Unlock()
	<-full
}

// servers is that process, seen from here.
type servers struct {
	addresses
	end func()
}

// startServers runs this program again.
func startServers() (*servers, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), variable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &servers{end: func() { in.Close(); cmd.Wait() }}
	if err := json.NewDecoder(out).Decode(&s.addresses); err != nil {
		s.end()
		return nil, fmt.Errorf("the servers do not start: %w", err)
	}
	return s, nil
}

// begin begins a session of this kind, and forgets the last one.
func (s *servers) begin(r rule) (first pair, err error) {
	order, err := json.Marshal(r)
	if err != nil {
		return pair{}, err
	}
	err = s.ask("POST", "/begin", order, &first)
	return first, err
}

// tell has held exchanges answered.
func (s *servers) tell() error { return s.ask("POST", "/tell", nil, nil) }

func (s *servers) counts() (c counts, err error) {
	err = s.ask("GET", "/counts", nil, &c)
	return c, err
}

func (s *servers) ask(method, path string, order []byte, answer any) error {
	req, err := http.NewRequest(method, s.Control+path, bytes.NewReader(order))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
