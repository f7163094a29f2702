//go:build unix

package main

import (
	"os"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/redisd"
)

func TestMain(m *testing.M) {
	if addresses, ok := os.LookupEnv(variable); ok {
		work(addresses)
		return
	}
	os.Exit(m.Run())
}

// What is measured is right; how long it takes is nobody's promise.
func TestStorm(t *testing.T) {
	redisd.Need(t, "redis-server")
	p := plan{
		contenders: []string{"rebearer", "redsync", "redsync tuned"}, modes: []string{"fresh", "chain"},
		delays: []time.Duration{50 * time.Millisecond}, rounds: 3, convoys: 3, patience: time.Minute, processes: 8, callers: 50, each: testing.Verbose(),
	}
	all := measure(t, p)
	for of, got := range all {
		ours := of.contender == "rebearer" // a peer may fail on a busy machine
		if calls := p.rounds * p.processes * p.callers; ours && (got.rounds != p.rounds || len(got.waits) != calls || got.failures != 0) {
			t.Errorf("%+v: %d rounds, %d of %d calls got the successor, %d did not", of, got.rounds, len(got.waits), calls, got.failures)
		}
		if ours && (got.presentations != p.rounds || got.refused != 0) {
			t.Errorf("%+v: %d presentations in %d rounds, %d refused", of, got.presentations, got.rounds, got.refused)
		}
		if len(got.waits) > 0 && quantile(got.waits, 0) < 0 {
			t.Errorf("%+v: somebody had the successor %v before it was sent", of, -quantile(got.waits, 0))
		}
		if got.mean() < 1 {
			t.Errorf("%+v: %.1f requests to Redis for a refresh", of, got.mean())
		}
	}
	if len(all) != 6 {
		t.Errorf("%d settings were measured", len(all))
	}
	t.Logf("\n%s", table(p, all))
}
