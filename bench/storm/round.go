//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/bench/internal/measure"
)

// connections bounds those to one server, for everybody.
const connections = 256

// spreading is how long the requests of a storm take to begin that do not begin at
// once.
const spreading = 120 * time.Millisecond

// outcome is what came of one round.
type outcome struct {
	counts
	Failed int  // callers that did not get their 200
	Left   int  // callers that had not returned when the patience was over
	Told   int  // callers that had, while they still had patience
	gaveUp bool // the patience was over before all had returned
	Wall   time.Duration
	CPU    time.Duration
	why    string // what one of those who failed was told
}

// stage is what a round takes place on: the servers, and a base that everybody in
// it shares.
type stage struct {
	*servers
	base     *http.Transport
	curtain  atomic.Bool // down: whoever still sends anything is told so
	patience time.Duration
}

var errOver = errors.New("the round is over")

// RoundTrip is the base of the contenders.
func (s *stage) RoundTrip(req *http.Request) (*http.Response, error) {
	if s.curtain.Load() {
		return nil, errOver
	}
	return s.base.RoundTrip(req)
}

func (s *stage) CloseIdleConnections() { s.base.CloseIdleConnections() }

func (s *stage) site() site { return site{s.API + "/me", s.AS + "/token", s} }

// open makes a stage on which all connections are there that n callers may want:
// what they cost belongs to nobody.
func (s *servers) open(n int, patience time.Duration) (*stage, error) {
	st := &stage{servers: s, patience: patience, base: &http.Transport{
		MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections, MaxIdleConns: 2 * connections,
	}}
	n = min(n, connections)
	errs := make(chan error, n+1)
	warm := func(url string) {
		_, err := get(context.Background(), &http.Client{Transport: st.base}, url, "")
		errs <- err
	}
	go warm(s.AS + "/warm?n=1")
	for range n {
		go warm(fmt.Sprint(s.API, "/warm?n=", n))
	}
	for range n + 1 {
		if err := <-errs; err != nil {
			return nil, err
		}
	}
	return st, nil
}

func (s *stage) close() {
	s.curtain.Store(true)
	s.base.CloseIdleConnections()
}

// crowd is callers that are counted as they return.
type crowd struct {
	ctx      context.Context
	wg       sync.WaitGroup
	returned atomic.Int64
	told     atomic.Int64 // of these, before ctx ended
	failed   atomic.Int64
	why      atomic.Pointer[string]
}

// send has a caller make a request.
func (c *crowd) send(p page) {
	c.wg.Go(func() {
		status, err := p(c.ctx)
		c.returned.Add(1)
		if c.ctx.Err() == nil {
			c.told.Add(1)
		}
		if err == nil && status == http.StatusOK {
			return
		}
		c.failed.Add(1)
		why := fmt.Sprint(status, " ", err)
		c.why.CompareAndSwap(nil, &why)
	})
}

// shapes are how the n requests of a storm come: send is called for each of them,
// and wait waits until all that were sent have been answered.
var shapeOf = map[string]func(n int, send func(second bool), wait func()){
	"at once":      atOnce,
	"known expiry": atOnce,
	"spread": func(n int, send func(bool), _ func()) {
		begin := time.Now()
		for i := range n {
			if early := time.Until(begin.Add(spreading * time.Duration(i) / time.Duration(n))); early > 0 {
				time.Sleep(early)
			}
			send(false)
		}
	},
	// The second half comes when all is over, with the cookies of the first.
	"late": func(n int, send func(bool), wait func()) {
		for i := range n {
			if i == n/2 {
				wait()
			}
			send(i >= n/2)
		}
	},
}

func atOnce(n int, send func(bool), _ func()) {
	for range n {
		send(false)
	}
}

// run has the callers of one round make their requests.
func (s *stage) run(c contender, shape string, n int, cookies pair) (o outcome, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	crowd := &crowd{ctx: ctx}
	// A timeout ends requests, and not everybody's waiting for a token.
	wait := func() {
		done := make(chan struct{})
		go func() { crowd.wg.Wait(); close(done) }()
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	makePage := c.start(s.site())
	first, second := makePage(cookies), makePage(cookies)
	runtime.GC()
	cpu, begin := measure.CPU(), time.Now()
	shapeOf[shape](n, func(isSecond bool) {
		switch {
		case c.tabs:
			crowd.send(makePage(cookies))
		case isSecond:
			crowd.send(second)
		default:
			crowd.send(first)
		}
	}, wait)
	wait()
	o.Wall, o.CPU = time.Since(begin), measure.CPU()-cpu
	o.gaveUp = ctx.Err() != nil
	o.Left, o.Told = n-int(crowd.returned.Load()), int(crowd.told.Load())
	o.Failed = int(crowd.failed.Load())
	if why := crowd.why.Load(); why != nil {
		o.why = *why
	}
	o.counts, err = s.counts()
	s.close() // so that nobody goes on
	if o.Left > 0 {
		crowd.wg.Wait()
	}
	return o, err
}

// cookiesOf are the session's tokens with what is known of their time. Where the
// access token ends without notice, it was said to live for an hour.
func cookiesOf(first pair, shape string) pair {
	now := time.Now()
	first.Issued, first.Expiry = now.Add(-time.Minute), now.Add(time.Hour-time.Minute)
	if shape == "known expiry" {
		first.Issued, first.Expiry = now.Add(-time.Hour), now.Add(-time.Second)
	}
	return first
}
