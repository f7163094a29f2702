//go:build unix

package redisd

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Proxy stands between clients and a server. It counts the requests of clients
// by command, and can fail.
type Proxy struct {
	target   string
	listener net.Listener
	all      sync.WaitGroup

	mu     sync.Mutex
	cond   *sync.Cond
	counts map[string]int
	conns  map[net.Conn]bool // false for one that is stranded
	down   bool
	frozen bool
	deaf   bool
	mute   bool
	closed bool
}

// StartProxy starts a Proxy to an address.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, listener: l, counts: map[string]int{}, conns: map[net.Conn]bool{}}
	p.cond = sync.NewCond(&p.mu)
	p.all.Go(p.serve)
	t.Cleanup(func() {
		p.set(func() { p.closed, p.frozen = true, false })
		l.Close()
		p.Cut()
		p.all.Wait()
	})
	return p
}

// Addr returns the host and port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

func (p *Proxy) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.cond.Broadcast()
}

// Counts returns how often each command was sent since the last Reset.
func (p *Proxy) Counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// Reset counts from zero.
func (p *Proxy) Reset() { p.set(func() { clear(p.counts) }) }

// Cut closes all connections and takes no more.
func (p *Proxy) Cut() {
	p.set(func() {
		p.down = true
		for c := range p.conns {
			c.Close()
		}
	})
}

// Heal takes connections again.
func (p *Proxy) Heal() { p.set(func() { p.down = false }) }

// Freeze passes nothing on, and closes nothing.
func (p *Proxy) Freeze() { p.set(func() { p.frozen = true }) }

// Thaw passes on what was kept.
func (p *Proxy) Thaw() { p.set(func() { p.frozen = false }) }

// Strand passes nothing on any more on the connections that there are, and tells
// nobody: their other end might have vanished. New ones are not concerned.
func (p *Proxy) Strand() {
	p.set(func() {
		for c := range p.conns {
			p.conns[c] = false
		}
	})
}

func (p *Proxy) stranded(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.conns[c]
}

// Deafen loses, from now on, what the server sends to those who have subscribed.
func (p *Proxy) Deafen() { p.set(func() { p.deaf = true }) }

// Mute passes requests on and loses all answers: the server has done what nobody
// hears of. Unmute ends that; who was not answered is not answered then either.
func (p *Proxy) Mute()   { p.set(func() { p.mute = true }) }
func (p *Proxy) Unmute() { p.set(func() { p.mute = false }) }

func (p *Proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() { p.connect(c) })
	}
}

// connect serves one client.
func (p *Proxy) connect(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	accepted := false
	p.set(func() {
		if accepted = !p.down && !p.closed; accepted {
			p.conns[client], p.conns[server] = true, true
		}
	})
	if !accepted {
		return
	}
	defer p.set(func() { delete(p.conns, client); delete(p.conns, server) })
	subscribed := new(bool)
	var both sync.WaitGroup
	both.Go(func() { defer server.Close(); p.requests(client, server, subscribed) })
	both.Go(func() { defer client.Close(); p.answers(server, client, subscribed) })
	both.Wait()
}

// wait returns once bytes may pass.
func (p *Proxy) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.frozen {
		p.cond.Wait()
	}
}

// requests passes on one request after the other.
func (p *Proxy) requests(from net.Conn, to io.Writer, subscribed *bool) {
	r := bufio.NewReader(from)
	for {
		args, raw, err := request(r)
		if err != nil {
			return
		}
		p.wait()
		if p.stranded(from) {
			continue
		}
		name := strings.ToUpper(args[0])
		p.set(func() {
			p.counts[name]++
			*subscribed = *subscribed || name == "SUBSCRIBE"
		})
		if _, err := to.Write(raw); err != nil {
			return
		}
	}
}

// request reads one request and returns its bytes, too.
func request(r *bufio.Reader) (args []string, raw []byte, err error) {
	number := func(kind byte) (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		raw = append(raw, line...)
		if line[0] != kind {
			return 0, fmt.Errorf("not a request: %q", line)
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number('*')
	for range n {
		size, err := number('$')
		if err != nil {
			return nil, nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, nil, err
		}
		raw = append(raw, b...)
		args = append(args, string(b[:size]))
	}
	if err == nil && n < 1 {
		err = io.ErrUnexpectedEOF
	}
	return args, raw, err
}

// answers passes on what comes.
func (p *Proxy) answers(from net.Conn, to io.Writer, subscribed *bool) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			p.wait()
			lost := false
			p.set(func() { lost = p.mute || p.deaf && *subscribed || !p.conns[from] })
			if !lost {
				if _, err := to.Write(b[:n]); err != nil {
					return
				}
			}
		}
		if err != nil {
			return
		}
	}
}
