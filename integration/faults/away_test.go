//go:build unix

package faults

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/redisstore"
	"github.com/rebearer/rebearer/transport"
)

// Redis is away for everybody while an exchange is under way: its leader has not
// died, and who waits for it has not seen that it did not renew, but has not seen
// anything.
func TestALeaderIsNotDeadBecauseRedisIsAway(t *testing.T) {
	var all sync.WaitGroup
	defer all.Wait()
	for name, row := range map[string]absence{
		"not at all":                     {latency, 0},
		"refusing for a moment":          {refusing, lease / 10},
		"refusing for two thirds of one": {refusing, lease * 2 / 3},
		"refusing for most of a lease":   {refusing, lease - 400*time.Millisecond},
		"refusing for two leases":        {refusing, 2 * lease},
		"silent for two thirds of one":   {halfOpen, lease * 2 / 3},
		"silent for most of a lease":     {halfOpen, lease - 400*time.Millisecond},
	} {
		all.Go(func() { t.Run(name, row.test) }) // all at once: they wait, most of the time
	}
}

// absence is how Redis is away.
type absence struct {
	kind kind
	away time.Duration
}

func (row absence) test(t *testing.T) {
	as := authtest.NewAS(authtest.ASConfig{Delay: 500 * time.Millisecond})
	defer as.Close()
	redis := startProxy(t, redisd.Start(t).Addr())
	a, b := replicaOn(t, as, redis.addr), replicaOn(t, as, redis.addr)
	for _, c := range []*tokencache.Coordinator{a, b} { // both are connected
		if _, err := c.Refresh(t.Context(), as.SignIn("warm")); err != nil {
			t.Fatal(err)
		}
	}
	as.ResetCounts()
	spent := as.SignIn("alice")
	var got [2]tokencache.Token
	var errs [2]error
	var both sync.WaitGroup
	both.Go(func() { got[0], errs[0] = a.Refresh(t.Context(), spent) })
	for as.Counts().Presentations == 0 {
		time.Sleep(time.Millisecond)
	}
	both.Go(func() { got[1], errs[1] = b.Refresh(t.Context(), spent) })
	pause(t.Context(), 200*time.Millisecond)
	redis.begin(fault{kind: row.kind})
	pause(t.Context(), row.away)
	redis.end()
	both.Wait()
	if n := as.PresentationsOf(spent.Refresh()); n != 1 {
		t.Errorf("%d presentations", n)
	}
	for i, err := range errs {
		if errors.Is(err, tokencache.ErrLoginRequired) {
			t.Errorf("replica %d: %v", i, err)
		}
	}
	if newest := got[0].Refresh(); newest != "" && !as.Alive(newest) {
		t.Error("the session has ended")
	}
}

// replicaOn returns a Coordinator with a Store of its own.
func replicaOn(t *testing.T, as *authtest.AS, redis string) *tokencache.Coordinator {
	t.Helper()
	store, err := redisstore.Open("redis://" + redis)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	endpoint := &transport.TokenEndpoint{URL: as.TokenURL(), ClientID: "bff", Base: as.Transport()}
	return &tokencache.Coordinator{Refresher: endpoint, Store: store, Realm: "away", Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}
