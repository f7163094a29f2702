package tokencache_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// replicas returns two Coordinators that share a Store, and the wire of the
// first.
func replicas(r tokencache.Refresher) (a, b *tokencache.Coordinator, wire *wire) {
	store := &tokencache.MemoryStore{}
	wire = newWire(store)
	a = &tokencache.Coordinator{Refresher: r, Store: wire, Realm: "https://as.example.com me"}
	b = &tokencache.Coordinator{Refresher: r, Store: store, Realm: "https://as.example.com me"}
	return a, b, wire
}

// until returns a fault that blocks each operation until the test releases it:
// the process is dead, or stands still.
func until(release <-chan struct{}) fault {
	return func(context.Context, string, moment) error {
		<-release
		return nil
	}
}

// answers makes the exchange at once, and answers after d.
func answers(d time.Duration) answer {
	return func(a *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
		t, err := a.exchange(ctx, spent)
		time.Sleep(d)
		return t, err
	}
}

// B45, B46, T-D2, T-D15
func TestReplicasPresentOnce(t *testing.T) {
	for name, takes := range map[string]time.Duration{
		"while the server answers":                             50 * time.Millisecond,
		"while the server takes longer than three leases":      9500 * time.Millisecond,
		"while the server takes as long as Timeout, to the ms": 10*time.Second - time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, store := &as{takes: takes}, &tokencache.MemoryStore{}
				together(8, func(i int) {
					c := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
					together(200, func(i int) {
						time.Sleep(time.Duration(i%2) * (takes + time.Second)) // half of them come late
						got, err := c.Refresh(t.Context(), alice)
						is(t, "alice-access-1", got, err)
					})
				})
				server.saw(t, 1)
			})
		})
	}
}

// B35: a failure is shared by all replicas.
func TestReplicasShareAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 50 * time.Millisecond}
		server.next(fails(unavailable()))
		a, b, _ := replicas(server)
		together(100, func(i int) {
			_, err := []*tokencache.Coordinator{a, b}[i%2].Refresh(t.Context(), alice)
			because(t, reason.Unavailable, err)
		})
		server.saw(t, 1)
	})
}

// B47
func TestALeaderThatDies(t *testing.T) {
	for name, row := range map[string]struct {
		rotation      rotation
		op            string // the last that it begins
		when          moment
		want          string // an access token, or a reason
		takes         time.Duration
		presentations int
	}{
		"before it presented is replaced after a lease":           {strict, "swap held", behind, "alice-access-1", 3 * time.Second, 1},
		"after it presented, to a strict server, is ambiguous":    {strict, "swap done", before, "ambiguous", 18 * time.Second, 2},
		"after it presented, to a server with grace, is replaced": {grace, "swap done", before, "alice-access-2", 3 * time.Second, 2},
		"after it stored is not missed":                           {strict, "swap done", behind, "alice-access-1", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{rotation: row.rotation}
				a, b, wire := replicas(server)
				dead := make(chan struct{})
				defer func() { wire.on(down); close(dead); a.Wait(t.Context()) }()
				wire.on(during(row.op, func(ctx context.Context, op string, when moment) error {
					if when == row.when {
						wire.on(until(dead))
						<-dead
					}
					return nil
				}))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go a.Refresh(ctx, alice)
				synctest.Wait()
				began := time.Now()
				got, err := b.Refresh(t.Context(), alice)
				if r := reason.Reason(row.want); r.Known() {
					because(t, r, err)
				} else {
					is(t, row.want, got, err)
				}
				if took := time.Since(began); took != row.takes {
					t.Errorf("took %v, want %v", took, row.takes)
				}
				if n := server.presentations(); n != row.presentations {
					t.Errorf("%d presentations, want %d", n, row.presentations)
				}
			})
		})
	}
}

// B46, B47: the leader stands still for longer than a lease, and goes on.
func TestALeaderThatStalls(t *testing.T) {
	for name, stall := range map[string]time.Duration{
		"and wakes before the other has its answer": 4 * time.Second,
		"and wakes after that":                      6 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{rotation: grace}
				server.next((*as).exchange, answers(2*time.Second))
				a, b, wire := replicas(server)
				awake := make(chan struct{})
				time.AfterFunc(stall, func() { wire.on(nil); close(awake) })
				wire.on(during("swap done", until(awake)))
				var got [2]tokencache.Token
				together(2, func(i int) {
					time.Sleep(time.Duration(i) * time.Millisecond)
					var err error
					if got[i], err = []*tokencache.Coordinator{a, b}[i].Refresh(t.Context(), alice); err != nil {
						t.Error(err)
					}
				})
				third, err := b.Refresh(t.Context(), alice)
				if err != nil || !got[0].Same(got[1]) || !got[0].Same(third) {
					t.Errorf("two successors are in use: %q, %q, %q", got[0].Access(), got[1].Access(), third.Access())
				}
			})
		})
	}
}

// withoutRenewal loses the renewals of a lease, and nothing else.
func withoutRenewal() fault {
	return during("swap held", nth(2, func(context.Context, string, moment) error { return errCut }))
}

// B33, B47, T-D8: the lease was lost while the server still worked.
func TestWhoeverIsRefusedWhileTheFirstStillWaitsGetsItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		server.next(answers(8*time.Second), fails(invalidGrant()))
		a, b, wire := replicas(server)
		var log bytes.Buffer
		b.Log = slog.New(slog.NewTextHandler(&log, nil))
		wire.on(withoutRenewal())
		began := time.Now()
		together(2, func(i int) {
			time.Sleep(time.Duration(i) * time.Millisecond)
			got, err := []*tokencache.Coordinator{a, b}[i].Refresh(t.Context(), alice)
			is(t, "alice-access-1", got, err)
			if took := time.Since(began); took != 8*time.Second {
				t.Errorf("replica %d was told after %v", i, took)
			}
		})
		if n := server.presentations(); n != 2 {
			t.Errorf("%d presentations", n)
		}
		if strings.Contains(log.String(), "ended") {
			t.Errorf("the log ends a session that lives: %s", &log)
		}
	})
}

// B33: the same with a third, after the second one has failed.
func TestARivalIsWaitedForAfterAnotherFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		server.next(answers(9*time.Second), fails(unavailable()), fails(invalidGrant()))
		a, b, wire := replicas(server)
		wire.on(withoutRenewal())
		go a.Refresh(t.Context(), alice)
		synctest.Wait()
		_, err := b.Refresh(t.Context(), alice) // takes over, and gets 500
		because(t, reason.Unavailable, err)
		time.Sleep(time.Second)
		got, err := b.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
	})
}

// B46: each write but the first arrives late, the answer to the first does.
func TestALeaseIsKeptThroughASlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 9 * time.Second}
		a, b, wire := replicas(server)
		var writes atomic.Int32
		wire.on(during("swap held", func(_ context.Context, _ string, when moment) error {
			if first := writes.Load() == 0; first == (when == behind) {
				time.Sleep(1400 * time.Millisecond)
			}
			if when == behind {
				writes.Add(1)
			}
			return nil
		}))
		together(2, func(i int) {
			time.Sleep(time.Duration(i) * time.Millisecond)
			got, err := []*tokencache.Coordinator{a, b}[i].Refresh(t.Context(), alice)
			is(t, "alice-access-1", got, err)
		})
		server.saw(t, 1)
	})
}

// B21
func TestAWaiterOfAnotherReplicasExchangeLeavesWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 5 * time.Second}
		a, b, _ := replicas(server)
		go a.Refresh(t.Context(), alice)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := b.Refresh(ctx, alice)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		a.Wait(t.Context())
		b.Wait(t.Context())
		server.saw(t, 1)
	})
}

// B46: what is lost between a replica and its Store is not the lease.
func TestALeaseIsKept(t *testing.T) {
	for name, lost := range map[string]func(n int, op string, when moment) bool{
		"though renewals do not arrive": func(n int, op string, when moment) bool {
			return op == "swap held" && n%5 > 1 && when == before
		},
		"though it is not told of a renewal": func(n int, op string, when moment) bool {
			return n == 2 && when == behind // nor of what it reads then
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{takes: 9 * time.Second}
				a, b, wire := replicas(server)
				var mu sync.Mutex
				writes := 0
				wire.on(func(_ context.Context, op string, when moment) error {
					mu.Lock()
					defer mu.Unlock()
					if op == "swap held" && when == before {
						writes++
					}
					if lost(writes, op, when) {
						return errCut
					}
					return nil
				})
				together(2, func(i int) {
					time.Sleep(time.Duration(i) * time.Millisecond)
					got, err := []*tokencache.Coordinator{a, b}[i].Refresh(t.Context(), alice)
					is(t, "alice-access-1", got, err)
				})
				server.saw(t, 1)
			})
		})
	}
}
