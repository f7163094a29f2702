package main

import (
	"context"
	"fmt"
	"runtime"
)

// route is one table: the contenders that can do something, and who the others
// are compared with.
type route struct {
	name, title string
	baseline    string
	open        func() []*lane
	// floor is the lane that costs what all others have in them, too. Ratios are
	// of what comes on top of it.
	floor     string
	contended bool
}

// routes returns all of them.
func routes() []route {
	cores := runtime.GOMAXPROCS(0)
	get := func(d *door) func(context.Context) error { return d.get }
	accept := func(d *door) func(context.Context) error { return d.accept }
	return []route{
		{name: "1a", title: "GET, built inside the loop, no header of its own; Base is an http.Transport whose network answers in memory", baseline: raw.name,
			open: func() []*lane { return lanes(inTransport, 1, get) }},
		{name: "1b", title: "the same with an Accept header", baseline: raw.name,
			open: func() []*lane { return lanes(inTransport, 1, accept) }},
		{name: "1c", title: "the same as 1a, Base is a RoundTripper of another kind", baseline: raw.name,
			open: func() []*lane { return lanes(inMemory, 1, get) }},
		{name: "1d", title: "the same as 1a over loopback sockets with keep-alive; the server's time is in it", baseline: raw.name,
			open: func() []*lane { return lanes(overSockets, 1, get) }},
		{name: "2, no header", title: "RoundTrip alone, a prepared request without a header; Base is an http.Transport", baseline: oauth2Reuse.name, floor: byHand.name,
			open: func() []*lane { return alone(inStillTransport, 0) }},
		{name: "2, 3 headers", title: "RoundTrip alone, a prepared request with 3 headers", baseline: oauth2Reuse.name, floor: byHand.name,
			open: func() []*lane { return alone(inStill, 3) }},
		{name: "2, 7 headers", title: "RoundTrip alone, a prepared request with 7 headers", baseline: oauth2Reuse.name, floor: byHand.name,
			open: func() []*lane { return alone(inStill, 7) }},
		{name: "3, GET", title: "GET with an Accept header that decodes a small JSON answer", baseline: resty2Alone.name, open: func() []*lane {
			return lanes(inTransport, 1, func(d *door) func(context.Context) error { return fetching(d) })
		}},
		{name: "3, POST", title: "POST of a struct as JSON", baseline: resty2Alone.name, open: func() []*lane {
			return lanes(inTransport, 1, func(d *door) func(context.Context) error { return creating(d) })
		}},
		{name: "4, one each", title: fmt.Sprintf("contended: %d goroutines on %d cores, one session", cores, cores), baseline: raw.name, contended: true,
			open: func() []*lane { return lanes(inTransport, cores, get) }},
		{name: "4, eight each", title: fmt.Sprintf("contended: %d goroutines on %d cores, one session", 8*cores, cores), baseline: raw.name, contended: true,
			open: func() []*lane { return lanes(inTransport, 8*cores, get) }},
		{name: "5", title: "POST of 1 MiB that can be sent again after a 401", baseline: raw.name, open: func() []*lane {
			file := make([]byte, 1<<20)
			return lanes(inTransport, 1, func(d *door) func(context.Context) error { return uploading(d, file) })
		}},
	}
}

// lanes returns one for each contender, in a place of its own.
func lanes(where func(*user) *site, goroutines int, call func(*door) func(context.Context) error) []*lane {
	var all []*lane
	for _, c := range contenders() {
		s := c.site(where)
		d := c.open(s)
		all = append(all, calls(c.name, s, d, goroutines, call(d)))
	}
	return all
}

// alone returns a lane for each contender that is a RoundTripper, and one for the
// base that they send with, whose requests are signed beforehand.
func alone(where func(*user) *site, headers int) []*lane {
	var all []*lane
	for _, c := range contenders() {
		s := c.site(where)
		if d := c.open(s); d.trip != nil && !c.anonymous {
			all = append(all, trips(c.name, s, d, headersOf(headers)))
		}
	}
	return all
}

func fetching(d *door) func(context.Context) error {
	return func(ctx context.Context) error {
		var p profile
		if err := d.fetch(ctx, &p); err != nil {
			return err
		}
		if p.ID != 4711 || len(p.Roles) != 2 {
			return errAnswer
		}
		return nil
	}
}

func creating(d *door) func(context.Context) error {
	p := &profile{ID: 4711, Name: "Ada Lovelace", Email: "ada@example.com", Roles: []string{"reader", "editor"}}
	return func(ctx context.Context) error { return d.create(ctx, p) }
}

func uploading(d *door, file []byte) func(context.Context) error {
	return func(ctx context.Context) error { return d.upload(ctx, file) }
}
