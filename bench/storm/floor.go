//go:build unix

package main

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/rebearer/rebearer/bench/internal/measure"
)

const (
	floorName  = "floor"
	oracleName = "oracle"
)

// floor is what a storm costs if its parts are done one after the other and
// nothing else is done: all requests meet their 401; one exchange; all requests are
// sent again. Requests that are spread are so the first time; when they are sent
// again it is at once. Where half of them is late, each half does its part: who
// comes with an old token and was told nothing meets his 401.
func (s *stage) floor(shape string, n int, cookies pair) (o outcome, err error) {
	raw := &http.Client{Transport: s}
	ctx := context.Background()
	crowd := &crowd{ctx: ctx}
	with := func(access string, want int) page {
		return func(ctx context.Context) (int, error) {
			status, err := get(ctx, raw, s.API+"/me", access)
			if status == want {
				status = http.StatusOK
			}
			return status, err
		}
	}
	next, waiting := pair{}, 0
	again := func() { // what is to be done when all have met their 401
		crowd.wg.Wait()
		if next.Access == "" {
			next, err = s.site().exchange(ctx, cookies.Refresh)
		}
		for range waiting {
			crowd.send(with(next.Access, http.StatusOK))
		}
		crowd.wg.Wait()
		waiting = 0
	}
	runtime.GC()
	cpu, begin := measure.CPU(), time.Now()
	shapeOf[shape](n, func(bool) {
		waiting++
		crowd.send(with(cookies.Access, http.StatusUnauthorized))
	}, again)
	again()
	return s.finished(crowd, cpu, begin, err)
}

// oracle knows before the first request that the access token has ended: one
// exchange, for which all wait, and each request is sent once. Nobody can do
// better whose requests are there at the beginning.
func (s *stage) oracle(shape string, n int, cookies pair) (o outcome, err error) {
	raw := &http.Client{Transport: s}
	crowd := &crowd{ctx: context.Background()}
	there := make(chan struct{})
	var next pair
	runtime.GC()
	cpu, begin := measure.CPU(), time.Now()
	go func() {
		next, err = s.site().exchange(context.Background(), cookies.Refresh)
		close(there)
	}()
	shapeOf[shape](n, func(bool) {
		crowd.send(func(ctx context.Context) (int, error) {
			<-there
			return get(ctx, raw, s.API+"/me", next.Access)
		})
	}, crowd.wg.Wait)
	crowd.wg.Wait()
	return s.finished(crowd, cpu, begin, err)
}

func (s *stage) finished(c *crowd, cpu time.Duration, begin time.Time, failed error) (o outcome, err error) {
	o.Wall, o.CPU = time.Since(begin), measure.CPU()-cpu
	o.Failed = int(c.failed.Load())
	if why := c.why.Load(); why != nil {
		o.why = *why
	}
	o.counts, err = s.counts()
	s.close()
	if failed != nil {
		err = failed
	}
	return o, err
}
