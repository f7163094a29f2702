//go:build unix

package faults

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// link is a connection through a proxy.
type link struct {
	proxy          *proxy
	client, server *net.TCPConn
	born           int // during which fault, or none
	done           chan struct{}
	once           sync.Once

	mu               sync.Mutex
	deafUp, deafDown bool // for ever
	felt             int  // the last fault that this connection was counted for
	patience         int  // so many pieces of an answer pass before a reset
}

// parcel is what was read, and when it may go on.
type parcel struct {
	bytes []byte
	due   time.Time
	slow  bool // 1 KB/s
}

func (l *link) deafen(before bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deafUp = true
	l.deafDown = l.deafDown || !before
}

// cut resets both sides.
func (l *link) cut() {
	l.once.Do(func() {
		close(l.done)
		for _, c := range []*net.TCPConn{l.client, l.server} {
			if c != nil {
				c.SetLinger(0)
				c.Close()
			}
		}
	})
}

// verdict is what becomes of what was read.
type verdict int

const (
	passes verdict = iota
	isLost
	cuts     // the connection, at once
	cutsLate // the connection, after the delay of the fault
)

// judge says what becomes of bytes that go up, to the server, or down. A fault
// before the effect meets what goes up only: a request that was not whole has no effect, and
// once it is, the client has nothing more to send.
func (l *link) judge(f fault, serial int, up bool) verdict {
	l.mu.Lock()
	first := f.kind != "" && l.felt != serial
	if first {
		l.felt = serial
	}
	l.mu.Unlock()
	if first {
		l.proxy.hit(f)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if up && l.deafUp || !up && l.deafDown {
		return isLost
	}
	if f.before != up {
		return passes
	}
	switch f.kind {
	case reset:
		if l.patience--; f.before || l.patience < 0 {
			return cuts
		}
	case slowClose:
		return cutsLate
	case refusing, badTLS:
		if l.born != serial {
			return cuts
		}
	}
	return passes
}

// pass carries bytes from one side to the other until either closes.
func (l *link) pass(from, to *net.TCPConn, up bool) {
	line := make(chan parcel, 64)
	var delivering sync.WaitGroup
	delivering.Go(func() { l.deliver(line, to) })
	defer func() {
		close(line)
		delivering.Wait()
	}()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		f, serial := l.proxy.now()
		if n > 0 {
			switch l.judge(f, serial, up) {
			case passes:
				p := parcel{bytes.Clone(b[:n]), time.Now(), f.kind == trickle}
				if f.kind == latency {
					p.due = p.due.Add(f.delay / 2)
				}
				select {
				case line <- p:
				case <-l.done:
				}
			case cuts:
				l.cut()
			case cutsLate:
				l.wait(time.Now().Add(f.delay))
				l.cut()
			}
		}
		if err != nil {
			l.ended(from, f, line)
			return
		}
	}
}

// ended passes the end of one side on, unless it cannot be heard.
func (l *link) ended(from *net.TCPConn, f fault, line chan<- parcel) {
	l.mu.Lock()
	silent := from == l.server && l.deafDown
	l.mu.Unlock()
	if silent {
		return // the client has to find out by itself
	}
	end := parcel{due: time.Now()}
	if f.kind == slowClose || f.kind == latency {
		end.due = end.due.Add(f.delay)
	}
	select {
	case line <- end:
	case <-l.done:
	}
}

// deliver writes what is due, and closes for an empty parcel.
func (l *link) deliver(line <-chan parcel, to *net.TCPConn) {
	for p := range line {
		if !l.wait(p.due) {
			continue
		}
		if p.bytes == nil {
			to.Close()
			l.cut()
			continue
		}
		for len(p.bytes) > 0 {
			n := len(p.bytes)
			if f, _ := l.proxy.now(); p.slow && f.kind == trickle {
				n = min(n, 128)
				if !l.wait(time.Now().Add(time.Second / 8)) {
					break
				}
			}
			if _, err := to.Write(p.bytes[:n]); err != nil {
				l.cut()
				break
			}
			p.bytes = p.bytes[n:]
		}
	}
}

// wait waits until then, and reports whether the connection is still there.
func (l *link) wait(until time.Time) bool {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.done:
		return false
	}
}
