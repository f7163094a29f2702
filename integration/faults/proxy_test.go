//go:build unix

package faults

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// kind is a way in which a network fails.
type kind string

const (
	latency   kind = "latency"
	reset     kind = "reset"
	slowClose kind = "slow close"
	halfOpen  kind = "half-open"
	trickle   kind = "1 KB/s"
	badTLS    kind = "TLS handshake fails"
	refusing  kind = "connection refused"
)

// fault is what is wrong with a way for some time. The zero fault is nothing.
type fault struct {
	kind kind
	// delay is that of the answer to a byte, there and back, and that of a close.
	delay time.Duration
	// before: a request is lost before its server has the last byte of it, or not
	// at all, so that no answer is cut after its effect. Not before: answers are.
	before bool
}

// losesNothing reports whether all arrives, sooner or later.
func (k kind) losesNothing() bool { return k == latency || k == trickle }

// String names the fault as the report does.
func (f fault) String() string {
	switch {
	case f.kind.losesNothing():
		return string(f.kind)
	case f.before:
		return string(f.kind) + ", requests are lost"
	}
	return string(f.kind) + ", answers are lost"
}

// proxy is a way to a server that can fail.
type proxy struct {
	t      testing.TB
	target string
	addr   string
	all    sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while it refuses
	fault    fault
	serial   int // of the fault
	links    map[*link]bool
	closed   bool
	hits     map[string]int // the connections that felt it, by name of the fault
}

// ports are those of all proxies, one of which may refuse just now.
var ports sync.Map

// startProxy starts a proxy to an address. Its port is below those that the
// kernel gives to clients, or a client could have it while it refuses.
func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	p := &proxy{t: t, target: target, links: map[*link]bool{}, hits: map[string]int{}}
	for range 100 {
		port := 22000 + rand.IntN(9000)
		if _, taken := ports.LoadOrStore(port, true); taken {
			continue
		}
		p.addr = fmt.Sprintf("127.0.0.1:%d", port)
		if p.listen() == nil {
			t.Cleanup(p.close)
			return p
		}
	}
	t.Fatal("no free port")
	return nil
}

func (p *proxy) listen() error {
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.listener = l
	p.mu.Unlock()
	p.all.Go(func() { p.serve(l) })
	return nil
}

func (p *proxy) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() { p.connect(c.(*net.TCPConn)) })
	}
}

// begin has the way fail until end. What is there when it begins fails, too:
// connections that were made before stay silent, or are cut.
func (p *proxy) begin(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	p.serial++
	if f.kind == refusing {
		p.listener.Close()
		p.listener = nil
	}
	for l := range p.links {
		switch {
		case f.kind == halfOpen:
			l.deafen(f.before)
		case !f.before && (f.kind == refusing || f.kind == badTLS || f.kind == reset):
			p.hits[f.String()]++
			l.cut()
		}
	}
}

// end heals the way. What was silent is so for ever: it is a connection that the
// other end has forgotten.
func (p *proxy) end() {
	p.mu.Lock()
	p.fault = fault{}
	p.serial++
	refused := p.listener == nil
	p.mu.Unlock()
	for until := time.Now().Add(10 * time.Second); refused && p.listen() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			p.t.Error("the port was taken")
			return
		}
	}
}

func (p *proxy) now() (f fault, serial int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault, p.serial
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	if p.listener != nil {
		p.listener.Close()
	}
	for l := range p.links {
		l.cut()
	}
	p.mu.Unlock()
	p.all.Wait()
}

func (p *proxy) hit(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hits[f.String()]++
}

// counted returns how many connections felt which fault, but for those that were
// refused: the kernel does that.
func (p *proxy) counted() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.hits)
}

// connect serves one client.
func (p *proxy) connect(client *net.TCPConn) {
	l := &link{proxy: p, client: client, done: make(chan struct{}), patience: rand.IntN(6)}
	f, serial := p.now()
	l.born = serial
	switch f.kind {
	case halfOpen: // it accepts, and that is all
		l.deafUp, l.deafDown = true, true
	case badTLS:
		p.hit(f)
		refuseTLS(client)
		return
	}
	if !l.deafDown {
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			return
		}
		l.server = server.(*net.TCPConn)
	}
	if !p.add(l) {
		l.cut()
		return
	}
	defer p.remove(l)
	if l.server == nil {
		p.hit(f)
		io.Copy(io.Discard, client)
		client.Close()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pass(client, l.server, true) })
	both.Go(func() { l.pass(l.server, client, false) })
	both.Wait()
	l.cut()
}

// add reports whether the proxy is open.
func (p *proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.links[l] = true
	}
	return !p.closed
}

func (p *proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// refuseTLS answers a ClientHello with the alert handshake_failure (RFC 8446
// section 6.2), and closes as one closes who has read everything.
func refuseTLS(c *net.TCPConn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 16<<10)); err != nil {
		return
	}
	c.Write([]byte{21, 3, 3, 0, 2, 2, 40})
	c.CloseWrite()
	io.Copy(io.Discard, c)
}
