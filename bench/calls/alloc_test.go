package main

import (
	"context"
	"net/http"
	"runtime"
	"testing"
)

// cost is what a call allocates.
type cost struct{ allocs, bytes float64 }

func costOf(t *testing.T, call func() error) cost {
	t.Helper()
	const n = 1000
	once := func() {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	allocs := testing.AllocsPerRun(n, once)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		once()
	}
	runtime.ReadMemStats(&after)
	return cost{allocs, float64(after.TotalAlloc-before.TotalAlloc) / n}
}

func costOfCall(t *testing.T, c contender, where func(*user) *site, pick func(*door) func(context.Context) error) cost {
	s := c.site(where)
	defer s.close()
	d := c.open(s)
	ctx := incoming()
	if d.page != nil {
		ctx = d.page(ctx)
	}
	call := pick(d)
	return costOf(t, func() error { return call(ctx) })
}

// What a call allocates on top of the same call without rebearer.
func TestAllocationsOfACallOverTheSameWithoutUs(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	get := func(d *door) func(context.Context) error { return d.get }
	accept := func(d *door) func(context.Context) error { return d.accept }
	upload := func(d *door) func(context.Context) error { return uploading(d, make([]byte, 1<<20)) }
	for _, row := range []struct {
		name      string
		where     func(*user) *site
		with, not contender
		call      func(*door) func(context.Context) error
		most      cost
	}{
		{"anybody's GET without a header is copied, too", inTransport, anybodysOneCache, raw, get, cost{3, 720}},
		{"anybody's GET with a header is copied with it", inTransport, anybodysOneCache, raw, accept, cost{3, 720}},
		{"anybody's GET to a Base that may change the header is copied with it", inMemory, anybodysOneCache, raw, get, cost{3, 720}},
		{"our GET without a header has its copy already", inTransport, builtOneCache, raw, get, cost{0, 352}},
		{"our GET with a header has only that copied", inTransport, builtOneCache, raw, accept, cost{2, 752}},
		{"our GET to a Base that may change the header has only that copied", inMemory, builtOneCache, raw, get, cost{2, 752}},
		{"a GET by the client", inTransport, restyClientOneCache, resty2Alone, fetching, cost{3, 1024}},
		{"a POST by the client", inTransport, restyClientOneCache, resty2Alone, creating, cost{3, 1024}},
		{"a body of 1 MiB in anybody's POST is not copied", inTransport, anybodysOneCache, raw, upload, cost{3, 2048}},
		{"a body of 1 MiB in our POST is not copied", inTransport, builtOneCache, raw, upload, cost{3, 2048}},
		{"a body of 1 MiB in the client's POST is not copied", inTransport, restyClientOneCache, resty2Alone, upload, cost{3, 2048}},
	} {
		t.Run(row.name, func(t *testing.T) {
			with, without := costOfCall(t, row.with, row.where, row.call), costOfCall(t, row.not, row.where, row.call)
			more := cost{with.allocs - without.allocs, with.bytes - without.bytes}
			t.Logf("%v allocations and %.0f bytes, %+v and %+.0f", with.allocs, with.bytes, more.allocs, more.bytes)
			if more.allocs > row.most.allocs || more.bytes > row.most.bytes+16 { // somebody else's, now and then
				t.Errorf("%v allocations and %.0f bytes more, want at most %v and %.0f", more.allocs, more.bytes, row.most.allocs, row.most.bytes)
			}
		})
	}
}

// What RoundTrip allocates, of requests that were prepared.
func TestAllocationsOfARoundTrip(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	for _, row := range []struct {
		name    string
		where   func(*user) *site
		of      contender
		headers int
		most    cost
	}{
		{"anybody's, no header", inStillTransport, anybodysOneCache, 0, cost{3, 720}},
		{"anybody's, 3 headers", inStill, anybodysOneCache, 3, cost{3, 720}},
		{"anybody's, 7 headers", inStill, anybodysOneCache, 7, cost{3, 720}},
		{"ours, no header", inStillTransport, builtOneCache, 0, cost{0, 0}},
		{"ours, 3 headers", inStill, builtOneCache, 3, cost{2, 400}},
		{"ours, 7 headers", inStill, builtOneCache, 7, cost{2, 400}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := row.of.site(row.where)
			d := row.of.open(s)
			requests, err := prepare(make([]*http.Request, 0, 2100), 2100, d, d.page(incoming()), s.url+path, headersOf(row.headers))
			if err != nil {
				t.Fatal(err)
			}
			got := costOf(t, func() error {
				req := requests[0] // each once
				requests = requests[1:]
				_, err := d.trip.RoundTrip(req)
				return err
			})
			t.Logf("%v allocations and %.0f bytes", got.allocs, got.bytes)
			if got.allocs > row.most.allocs || got.bytes > row.most.bytes+16 {
				t.Errorf("%v allocations and %.0f bytes, want at most %v and %.0f", got.allocs, got.bytes, row.most.allocs, row.most.bytes)
			}
		})
	}
}
