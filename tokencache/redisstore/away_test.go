//go:build unix

package redisstore_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/redisstore"
)

// trouble is what may happen to a Redis.
type trouble func(t *testing.T, s *redisd.Server) (begin, end func())

// durable has a Redis keep what it holds when it is killed.
var durable = []string{"--appendonly", "yes", "--appendfsync", "always"}

func stopped(_ *testing.T, s *redisd.Server) (begin, end func()) { return s.Kill, s.Restart }
func paused(_ *testing.T, s *redisd.Server) (begin, end func())  { return s.Pause, s.Resume }

func full(_ *testing.T, s *redisd.Server) (begin, end func()) {
	limit := func(bytes string) { s.Must("CONFIG", "SET", "maxmemory", bytes, "maxmemory-policy", "noeviction") }
	s.Must("SET", "filler", strings.Repeat("x", 1<<20), "EX", "60") // not by begin: that may take long
	return func() { limit("1mb") }, func() { limit("0") }
}

// slow lets each command take up to so many seconds.
func slow(seconds string) trouble {
	return func(t *testing.T, s *redisd.Server) (begin, end func()) {
		stop := make(chan struct{})
		var sleeping sync.WaitGroup
		begin = func() {
			sleeping.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						s.Do("DEBUG", "SLEEP", seconds)
					}
				}
			})
			time.Sleep(10 * time.Millisecond) // the first sleep has begun
		}
		end = sync.OnceFunc(func() { close(stop); sleeping.Wait() })
		t.Cleanup(end)
		return begin, end
	}
}

// B48: nothing is presented without Redis, and the same Coordinator goes on once
// Redis is there again.
func TestRedisIsAwayBeforeThePresentation(t *testing.T) {
	t.Parallel()
	type row struct {
		trouble
		for_   time.Duration
		passes bool // in time for the refresh to succeed
		may    bool // succeed, between two long commands
	}
	atOnce(t, map[string]row{
		"stopped":                            {trouble: stopped, for_: time.Second},
		"paused for longer than a lease":     {trouble: paused, for_: 2 * time.Second},
		"paused for less than half a lease":  {trouble: paused, for_: 300 * time.Millisecond, passes: true},
		"full":                               {trouble: full, for_: time.Second},
		"answering after 0.1 s":              {trouble: slow("0.1"), for_: 2 * time.Second, passes: true},
		"answering later than half a lease":  {trouble: slow("0.7"), for_: 5 * time.Second, may: true},
		"answering later than a whole lease": {trouble: slow("1.5"), for_: 5 * time.Second, may: true},
	}, func(t *testing.T, row row) {
		server, as := redisd.Start(t, durable...), &authority{}
		c := coordinatorOn(t, server.Addr(), as)
		livesOn(t, c, as, as.signIn()) // the Store is in use
		spent := as.signIn()
		begin, end := row.trouble(t, server)
		begin()
		over := make(chan struct{})
		time.AfterFunc(row.for_, func() { defer close(over); end() })
		began := time.Now()
		_, err := c.Refresh(t.Context(), spent)
		took := time.Since(began)
		switch {
		case err != nil && row.passes || err == nil && !row.passes && !row.may:
			t.Errorf("%v", err)
		case err != nil:
			isTransient(t, err)
			as.saw(t, spent, 0)
		}
		if took > 5*lease {
			t.Errorf("it took %v", took)
		}
		<-over
		got, again := recovers(t, c, spent)
		as.saw(t, spent, 1)
		livesOn(t, c, as, got)
		t.Logf("%v after %v; recovered within %v", err, took.Round(time.Millisecond), again.Round(time.Millisecond))
	})
}

// B48: a successor that Redis cannot take yet is neither lost nor fetched twice,
// whatever other replicas do meanwhile.
func TestRedisIsAwayAfterThePresentation(t *testing.T) {
	t.Parallel()
	type row struct {
		trouble
		for_  time.Duration
		later bool // the other asks when it is over
	}
	atOnce(t, map[string]row{
		"stopped":                            {trouble: stopped, for_: time.Second},
		"paused for longer than a lease":     {trouble: paused, for_: 2 * time.Second},
		"paused for less than half a lease":  {trouble: paused, for_: 300 * time.Millisecond},
		"full for less than half a lease":    {trouble: full, for_: 300 * time.Millisecond},
		"full for longer than a lease":       {trouble: full, for_: 2 * time.Second, later: true}, // see below
		"answering after 0.3 s":              {trouble: slow("0.3"), for_: 3 * time.Second},
		"answering later than half a lease":  {trouble: slow("0.7"), for_: 4 * time.Second},
		"answering later than a whole lease": {trouble: slow("1.5"), for_: 4 * time.Second},
	}, func(t *testing.T, row row) {
		server, as := redisd.Start(t, durable...), &authority{}
		a, b := coordinatorOn(t, server.Addr(), as), coordinatorOn(t, server.Addr(), as)
		livesOn(t, a, as, as.signIn())
		livesOn(t, b, as, as.signIn())
		spent := as.signIn()
		begin, end := row.trouble(t, server)
		away, over, told := make(chan struct{}), make(chan struct{}), make(chan struct{})
		as.on(nil, sync.OnceFunc(func() {
			begin()
			time.AfterFunc(row.for_, func() { defer close(over); end() })
			close(away)
		}))
		var other sync.WaitGroup
		var theirs tokencache.Token
		other.Go(func() {
			if <-away; row.later {
				<-told
			}
			theirs, _ = recovers(t, b, spent)
		})
		began := time.Now()
		got, err := a.Refresh(t.Context(), spent)
		took := time.Since(began)
		close(told)
		<-over
		other.Wait()
		if err != nil || !got.Same(theirs) {
			t.Fatalf("%v; the other has the same: %v", err, got.Same(theirs))
		}
		as.saw(t, spent, 1)
		livesOn(t, b, as, got)
		t.Logf("told after %v, the other after %v", took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	})
}

// B48: a leader that cannot write, because nobody can, is not dead: another
// replica, whose own writes fail for all that time, must not present the token the
// moment that it can write again.
func TestALeaderIsNotDeadBecauseRedisIsFull(t *testing.T) {
	t.Parallel()
	server, as := redisd.Start(t), &authority{}
	a, b := coordinatorOn(t, server.Addr(), as), coordinatorOn(t, server.Addr(), as)
	livesOn(t, a, as, as.signIn())
	livesOn(t, b, as, as.signIn())
	spent := as.signIn()
	begin, end := full(t, server)
	away := make(chan struct{})
	as.on(nil, sync.OnceFunc(func() {
		begin()
		time.AfterFunc(2*lease, end)
		close(away)
	}))
	var other sync.WaitGroup
	defer other.Wait()
	other.Go(func() {
		<-away
		for range 100 {
			if _, err := b.Refresh(t.Context(), spent); err == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Error("no recovery")
	})
	got, err := a.Refresh(t.Context(), spent)
	if err != nil {
		t.Fatal(err)
	}
	other.Wait()
	as.saw(t, spent, 1)
	livesOn(t, a, as, got)
}

// B48: who has the successor serves it for as long as Redis is away, and brings
// it to the others then.
func TestRedisIsAwayForLongerThanASuccessorCanWait(t *testing.T) {
	t.Parallel()
	atOnce(t, map[string]trouble{"stopped": stopped, "paused": paused, "full": full}, func(t *testing.T, trouble trouble) {
		server, as := redisd.Start(t, durable...), &authority{}
		a, b := coordinatorOn(t, server.Addr(), as), coordinatorOn(t, server.Addr(), as)
		a.Timeout = 500 * time.Millisecond // so that it waits for 5 s more
		var log bytes.Buffer
		a.Log = slog.New(slog.NewTextHandler(&log, nil))
		livesOn(t, a, as, as.signIn())
		spent := as.signIn()
		begin, end := trouble(t, server)
		as.on(nil, sync.OnceFunc(begin))
		began := time.Now()
		got, err := a.Refresh(t.Context(), spent)
		if err != nil {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		t.Logf("told after %v", time.Since(began).Round(time.Millisecond))
		if again, err := a.Refresh(t.Context(), spent); err != nil || !again.Same(got) {
			t.Errorf("asked again, it has another: %v, %v", !again.Same(got), err)
		}
		_, err = a.Refresh(t.Context(), got) // that one is not presented
		isTransient(t, err)
		_, err = b.Refresh(t.Context(), spent)
		isTransient(t, err)
		end()
		next, took := recovers(t, a, got)
		if again, err := a.Refresh(t.Context(), spent); err != nil || !again.Same(next) {
			t.Errorf("after %v it has another: %v, %v", took, !again.Same(next), err)
		}
		if theirs, _ := recovers(t, b, spent); !theirs.Same(next) { // by way of two links
			t.Error("the other has another")
		}
		as.saw(t, spent, 1)
		as.saw(t, got, 1)
		livesOn(t, b, as, next)
		if text := log.String(); !strings.Contains(text, "unstored") || strings.Contains(text, got.Refresh()) {
			t.Errorf("the log says %s", text)
		}
	})
}

// B48: with AloneWhenStoreFails, and only then, it goes on without Redis.
func TestAloneWithoutRedis(t *testing.T) {
	t.Parallel()
	server, as := redisd.Start(t), &authority{}
	c := coordinatorOn(t, server.Addr(), as)
	c.AloneWhenStoreFails = true
	at := livesOn(t, c, as, as.signIn())
	server.Kill()
	for range 3 {
		began := time.Now()
		next, err := c.Refresh(t.Context(), at)
		if err != nil {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		if again, err := c.Refresh(t.Context(), at); err != nil || !again.Same(next) {
			t.Errorf("asked again, it has another: %v, %v", !again.Same(next), err)
		}
		as.saw(t, at, 1)
		at = next
		t.Logf("it took %v", time.Since(began).Round(time.Millisecond))
	}
	server.Restart()
	livesOn(t, c, as, at)
}

// B48: the other end has vanished without a word, and all connections of the pool
// with it. One command finds that out for all of them.
func TestAPoolOfDeadConnections(t *testing.T) {
	t.Parallel()
	proxy := redisd.StartProxy(t, redisd.Start(t).Addr())
	store, err := redisstore.Open("redis://" + proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var warm sync.WaitGroup
	for i := range 50 {
		warm.Go(func() {
			if _, err := store.Load(t.Context(), fmt.Sprint("key ", i)); err != nil {
				t.Error(err)
			}
		})
	}
	warm.Wait()
	proxy.Strand()
	failed := 0
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond) // half a lease
		if _, err := store.Load(ctx, fmt.Sprint("key ", i)); err != nil {
			failed++
		}
		cancel()
	}
	if failed > 1 {
		t.Errorf("%d of 20 commands failed, one after the other", failed)
	}
}
