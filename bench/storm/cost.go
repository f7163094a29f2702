//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"
)

// cost is what callers cost that wait for one exchange, on a base in memory: no
// connection is in it.
type cost struct {
	name    string
	callers int
	counts
	Failed int
	// Goroutines are the most that there were at one time, those of the callers
	// among them; Waiting those that there were while all waited.
	Goroutines, Waiting int
	// Allocated is in bytes per caller, from the beginning to the end. Held is
	// what of it was in use while all waited, after a garbage collection; Stacks
	// is the memory of the goroutines' stacks then.
	Allocated, Held, Stacks float64
}

// measureCost has n callers meet their 401s at the same time. The exchange is
// answered when nothing moves any more.
func measureCost(c contender, n int, profile io.Writer) (cost, error) {
	m := &memory{session: newSession(rule{Hold: true, Gather: n})}
	makePage := c.start(site{"http://127.0.0.1:1/me", "http://127.0.0.1:2/token", m})
	first := makePage(cookiesOf(m.first, "at once"))
	crowd := &crowd{ctx: context.Background()}
	runtime.GC()
	runtime.GC()
	before, goroutines := readMemory(), runtime.NumGoroutine()
	for range n {
		p := first
		if c.tabs {
			p = makePage(cookiesOf(m.first, "at once"))
		}
		crowd.send(p)
	}
	if err := m.settle(); err != nil {
		return cost{}, fmt.Errorf("%s: %w", c.name, err)
	}
	m.sample()
	r := cost{name: c.name, callers: n, Waiting: runtime.NumGoroutine() - goroutines}
	waiting := readMemory()
	runtime.GC()
	live := readMemory()
	if profile != nil {
		if err := pprof.Lookup("heap").WriteTo(profile, 0); err != nil {
			return cost{}, err
		}
	}
	close(m.told)
	crowd.wg.Wait()
	after := readMemory()
	r.counts, r.Failed = m.counts(), int(crowd.failed.Load())
	r.Goroutines = int(m.peak.Load()) - goroutines
	each := func(a, b uint64) float64 { return float64(int64(b-a)) / float64(n) }
	r.Allocated = each(before.TotalAlloc, after.TotalAlloc)
	r.Held = each(before.HeapAlloc, live.HeapAlloc)
	r.Stacks = each(before.StackInuse, waiting.StackInuse)
	return r, nil
}

func readMemory() (m runtime.MemStats) {
	runtime.ReadMemStats(&m)
	return m
}

// memory is the servers without a network.
type memory struct {
	*session
	peak atomic.Int64
	busy atomic.Int64 // counts what was done
}

// sample notes how many goroutines there are. It is called wherever a contender
// calls in.
func (m *memory) sample() {
	n := int64(runtime.NumGoroutine())
	for {
		was := m.peak.Load()
		if n <= was || m.peak.CompareAndSwap(was, n) {
			return
		}
	}
}

// settle returns when nothing has moved for a while.
func (m *memory) settle() error {
	still, busy, goroutines := 0, int64(-1), -1
	for range 20_000 {
		b, g := m.busy.Load(), runtime.NumGoroutine()
		if still++; b != busy || g != goroutines {
			still, busy, goroutines = 0, b, g
		}
		if still == 50 {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("the callers do not come to rest")
}

func (m *memory) RoundTrip(req *http.Request) (*http.Response, error) {
	m.busy.Add(1)
	m.sample()
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if req.URL.Path == "/token" {
		return m.answer(req)
	}
	access, _ := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	ok, wait := m.call(access)
	if wait != nil {
		<-wait
	}
	if ok {
		return m.respond(req, http.StatusOK, `{"name":"Ann"}`), nil
	}
	resp := m.respond(req, http.StatusUnauthorized, `{"error":"invalid_token"}`)
	resp.Header["Www-Authenticate"] = challenges
	return resp, nil
}

var (
	challenges = []string{`Bearer realm="api", error="invalid_token"`}
	isJSON     = []string{"application/json"}
)

// answer is that of the token endpoint.
func (m *memory) answer(req *http.Request) (*http.Response, error) {
	form, err := io.ReadAll(req.Body)
	req.Body.Close()
	if err != nil {
		return nil, err
	}
	_, refresh, _ := strings.Cut(string(form), "refresh_token=rt-")
	refresh, _, _ = strings.Cut(refresh, "&")
	next, ok := m.spend("rt-" + refresh)
	select {
	case <-m.told:
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	if !ok {
		return m.respond(req, http.StatusBadRequest, `{"error":"invalid_grant"}`), nil
	}
	text, err := json.Marshal(map[string]any{
		"access_token": next.Access, "refresh_token": next.Refresh, "token_type": "Bearer", "expires_in": 3600,
	})
	return m.respond(req, http.StatusOK, string(text)), err
}

func (m *memory) respond(req *http.Request, status int, text string) *http.Response {
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": isJSON}, ContentLength: int64(len(text)), Request: req,
		Body: &body{memory: m, Reader: strings.NewReader(text)},
	}
}

// body notes how many goroutines there are while it is read.
type body struct {
	*memory
	io.Reader
}

func (b *body) Read(p []byte) (int, error) {
	b.busy.Add(1)
	b.sample()
	return b.Reader.Read(p)
}

func (b *body) Close() error {
	b.busy.Add(1)
	b.sample()
	return nil
}

func costTable(costs []cost) string {
	b := &strings.Builder{}
	fmt.Fprintln(b, "| contender | callers | presented | failed | API calls | goroutines over the callers: most / while all wait | bytes per caller: allocated / held while all wait / stacks |")
	fmt.Fprintln(b, "|---|---|---|---|---|---|---|")
	for _, c := range costs {
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %+d / %+d | %.0f / %.0f / %.0f |\n", c.name, c.callers, c.Presentations, c.Failed,
			c.calls(), c.Goroutines-c.callers, c.Waiting-c.callers, c.Allocated, c.Held, c.Stacks)
	}
	return b.String()
}

// measureCosts measures each contender, and callers that only wait, beside them.
func measureCosts(p plan) ([]cost, error) {
	var costs []cost
	for _, c := range append([]contender{waiting}, contenders...) {
		if c.blind || !p.takesPart(c.name) && c.name != waiting.name {
			continue
		}
		if _, err := measureCost(c, 100, nil); err != nil { // to warm up
			return nil, err
		}
		var profile io.Writer
		if p.profile != "" && c.name == "rebearer" {
			f, err := os.Create(p.profile)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			profile = f
		}
		r, err := measureCost(c, p.waiters, profile)
		if err != nil {
			return nil, err
		}
		costs = append(costs, r)
	}
	return costs, nil
}

// waiting is what the least is: callers that meet a 401, wait on one channel for
// the exchange of the first of them, and send their request again.
var waiting = contender{name: "callers on one channel", start: func(s site) func(pair) page {
	return func(p pair) page {
		var began atomic.Bool
		var next pair
		there := make(chan struct{})
		client := &http.Client{Transport: s.base}
		return func(ctx context.Context) (int, error) {
			status, err := get(ctx, client, s.me, p.Access)
			if err != nil || status != http.StatusUnauthorized {
				return status, err
			}
			if began.CompareAndSwap(false, true) {
				if next, err = s.exchange(ctx, p.Refresh); err != nil {
					return 0, err
				}
				close(there)
			}
			<-there
			return get(ctx, client, s.me, next.Access)
		}
	}
}}
