package main

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/rebearer/rebearer/bench/internal/measure"
)

// lane is one contender on one path.
type lane struct {
	name string
	// run makes n calls.
	run func(n int) error
	// parts makes n calls in parts of which only some count, and says what those
	// cost. If nil, all of run counts.
	parts func(n int) (sample, error)
	close func()
	// timer is a *testing.B that is to count only those parts, or nil.
	timer interface {
		StartTimer()
		StopTimer()
	}
}

// sample is what one turn has cost, or what one call of it has.
type sample struct {
	wall, cpu     float64 // nanoseconds
	allocs, bytes float64
}

// turn makes n calls and returns what one of them costs. It begins with an empty
// heap, so that nobody collects another's garbage.
func (l *lane) turn(n int) (sample, error) {
	runtime.GC()
	if l.parts != nil {
		s, err := l.parts(n)
		return s.over(n), err
	}
	m := begin()
	err := l.run(n)
	return m.end().over(n), err
}

// meter is what was read when a measurement began.
type meter struct {
	memory runtime.MemStats
	cpu    time.Duration
	wall   time.Time
}

func begin() *meter {
	m := &meter{}
	runtime.ReadMemStats(&m.memory)
	m.cpu, m.wall = measure.CPU(), time.Now()
	return m
}

func (m *meter) end() sample {
	wall, cpu := time.Since(m.wall), measure.CPU()-m.cpu
	before := m.memory
	runtime.ReadMemStats(&m.memory)
	return sample{
		wall: float64(wall), cpu: float64(cpu),
		allocs: float64(m.memory.Mallocs - before.Mallocs), bytes: float64(m.memory.TotalAlloc - before.TotalAlloc),
	}
}

func (s sample) over(n int) sample {
	d := float64(n)
	return sample{s.wall / d, s.cpu / d, s.allocs / d, s.bytes / d}
}

func (s *sample) add(t sample) {
	s.wall, s.cpu, s.allocs, s.bytes = s.wall+t.wall, s.cpu+t.cpu, s.allocs+t.allocs, s.bytes+t.bytes
}

// perPage is how many calls the handler of an incoming request makes.
const perPage = 10

// incoming returns a context such as http.Server gives to a handler.
func incoming() context.Context {
	ctx := context.WithValue(context.Background(), http.ServerContextKey, &http.Server{})
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, net.Addr(&net.TCPAddr{}))
	ctx, cancel := context.WithCancel(ctx)
	_ = cancel // the handler never returns
	return ctx
}

// calls returns a lane of the door's calls, by so many goroutines.
func calls(name string, s *site, d *door, goroutines int, call func(context.Context) error) *lane {
	page := d.page
	if page == nil {
		page = func(ctx context.Context) context.Context { return ctx }
	}
	parent := incoming()
	one := func(n int) error {
		var ctx context.Context
		for i := range n {
			if i%perPage == 0 {
				ctx = page(parent)
			}
			if err := call(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	l := &lane{name: name, run: one, close: s.close}
	if goroutines > 1 {
		l.run = func(n int) error { return share(n, goroutines, one) }
	}
	return l
}

// share has the goroutines make n calls together.
func share(n, goroutines int, run func(int) error) error {
	failed := make(chan error, goroutines)
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			part := n / goroutines
			if i < n%goroutines {
				part++
			}
			if err := run(part); err != nil {
				failed <- err
			}
		})
	}
	all.Wait()
	close(failed)
	return <-failed
}

// batch is how many requests are prepared at a time.
const batch = 512

// trips returns a lane of RoundTrips alone, with requests that were prepared with
// so many headers.
func trips(name string, s *site, d *door, headers http.Header) *lane {
	page := d.page
	if page == nil {
		page = func(ctx context.Context) context.Context { return ctx }
	}
	parent := incoming()
	l := &lane{name: name, close: s.close}
	l.parts = func(n int) (total sample, err error) {
		requests := make([]*http.Request, 0, batch)
		for n > 0 {
			part := min(n, batch)
			n -= part
			if requests, err = prepare(requests[:0], part, d, page(parent), s.url+path, headers); err != nil {
				return total, err
			}
			m := begin()
			if l.timer != nil {
				l.timer.StartTimer()
			}
			for _, req := range requests {
				if _, err := d.trip.RoundTrip(req); err != nil {
					return total, err
				}
			}
			if l.timer != nil {
				l.timer.StopTimer()
			}
			total.add(m.end())
		}
		return total, nil
	}
	l.run = func(n int) error {
		_, err := l.parts(n)
		return err
	}
	return l
}

// prepare appends n requests.
func prepare(to []*http.Request, n int, d *door, ctx context.Context, url string, headers http.Header) ([]*http.Request, error) {
	for range n {
		req, err := d.build(ctx, "GET", url, nil)
		if err != nil {
			return nil, err
		}
		for name, values := range headers {
			req.Header[name] = values
		}
		to = append(to, req)
	}
	return to, nil
}

// headersOf returns so many headers as a browser's request or a trace brings.
func headersOf(n int) http.Header {
	h := make(http.Header, n)
	for _, name := range []string{"Accept", "User-Agent", "X-Request-Id", "Accept-Language", "Traceparent", "Cache-Control", "X-Tenant"}[:n] {
		h[name] = []string{"value of " + name}
	}
	return h
}
