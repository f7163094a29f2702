package main

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A tiny run of everything has a row for each contender.
func TestRoutes(t *testing.T) {
	p := plan{rounds: 1, slice: time.Millisecond}
	for _, r := range routes() {
		out, err := p.measured(r)
		if err != nil {
			t.Fatal(err)
		}
		text := out.table()
		for _, name := range out.names {
			if len(out.samples[name]) != 1 || !strings.Contains(text, "| "+name+" |") {
				t.Errorf("%s: %q has %d samples", r.name, name, len(out.samples[name]))
			}
		}
		if want := len(contenders()); r.floor == "" && len(out.names) != want {
			t.Errorf("%s: %d contenders, want %d", r.name, len(out.names), want)
		}
		t.Logf("\n%s", text)
	}
}

// No lock of rebearer's is waited for.
func TestNoLockOfOursIsInTheMutexProfile(t *testing.T) {
	for _, c := range contenders() {
		if !strings.HasPrefix(c.name, "rebearer") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s := c.site(inTransport)
			defer s.close()
			d := c.open(s)
			l := calls(c.name, s, d, 16, d.get)
			if err := l.run(1); err != nil { // the first reads the configuration
				t.Fatal(err)
			}
			all, err := contentionOf(func() error { return l.run(5000) })
			if err != nil {
				t.Fatal(err)
			}
			for function, seconds := range all {
				if ours(function) {
					t.Errorf("%s: %v s", function, seconds)
				}
			}
		})
	}
}

// A lock that is waited for is seen, and it is known whose it is.
func TestTheMutexProfileTellsWhoseLockIsWaitedFor(t *testing.T) {
	var lock sync.Mutex
	for seen := false; !seen && t.Context().Err() == nil; {
		all, err := contentionOf(func() error {
			return share(1000, 8, func(n int) error {
				for range n {
					lock.Lock()
					runtime.Gosched()
					lock.Unlock()
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		for function := range all {
			seen = seen || strings.Contains(function, "TestTheMutexProfileTellsWhoseLockIsWaitedFor")
		}
	}
	for function, want := range map[string]bool{
		"github.com/rebearer/rebearer/transport.(*Transport).allowed": true,
		"github.com/rebearer/rebearer/tokencache.New":                 true,
		"github.com/rebearer/rebearer/bench/calls.share":              false,
		"net/http.(*Client).do":                                       false,
		"main.main":                                                   false,
	} {
		if ours(function) != want {
			t.Errorf("%s: ours is %v", function, !want)
		}
	}
}

// With the table that both ends have by default, tokens of 50 users do not fit. With
// a larger one on both sides, a user's second request is small again.
func TestAWiderHeaderTableBringsRequestsBack(t *testing.T) {
	bytes := map[string]float64{}
	for _, c := range headerCases(50) {
		got, err := c.travel(4)
		if err != nil {
			t.Fatal(c.name, err)
		}
		if got.connections != 1 {
			t.Errorf("%s: %d connections", c.name, got.connections)
		}
		t.Logf("%s: %.1f bytes at first, %.1f later", c.name, got.first, got.later)
		bytes[c.name] = got.later
	}
	for name, n := range bytes {
		if small := name == "one user" || strings.HasSuffix(name, "both sides"); small && n > 60 || !small && n < onWireToken/2 {
			t.Errorf("%s: %.1f bytes", name, n)
		}
	}
}

func Benchmark(b *testing.B) {
	for _, r := range routes() {
		for _, l := range r.open() {
			b.Run(r.name+"/"+l.name, func(b *testing.B) {
				b.ReportAllocs()
				if l.parts != nil {
					l.timer = b
					b.StopTimer()
				}
				if err := l.run(b.N); err != nil {
					b.Fatal(err)
				}
			})
			l.close()
		}
	}
}
