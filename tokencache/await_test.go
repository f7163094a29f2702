package tokencache_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// B46, T-D2: the Store is away for everybody while an exchange is under way. Who
// waits for it has not seen that its holder is silent: he has not seen anything.
func TestAHolderIsNotDeadBecauseTheStoreIsAway(t *testing.T) {
	const lease = 3 * time.Second
	for name, away := range map[string]fault{"refusing": down, "silent": hung} {
		for tenths := range 10 { // of a lease, from the first look to the outage
			for _, d := range []time.Duration{lease / 3, lease / 2, lease * 2 / 3, lease * 9 / 10, lease - 50*time.Millisecond} {
				t.Run(fmt.Sprintf("%s for %v after %d tenths", name, d, tenths), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						server := &as{takes: 8 * time.Second}
						a, b, wire := replicas(server)
						b.Store = wire
						time.AfterFunc(lease*time.Duration(tenths)/10+lease, func() { wire.on(away) })
						time.AfterFunc(lease*time.Duration(tenths)/10+lease+d, func() { wire.on(nil) })
						together(2, func(i int) {
							time.Sleep(time.Duration(i) * 900 * time.Millisecond)
							got, err := []*tokencache.Coordinator{a, b}[i].Refresh(t.Context(), alice)
							is(t, "alice-access-1", got, err)
						})
						server.saw(t, 1)
					})
				})
			}
		}
	}
}

// B46, T-D2: the Store is back, and the holder does not know yet: it is at a write
// that got no answer. Silence counts from the last read that failed, not from the
// first.
func TestAHolderIsNotDeadBecauseItHearsLateThatTheStoreIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 8 * time.Second}
		a, b, wire := replicas(server)
		other := newWire(wire.Store)
		b.Store = other
		time.AfterFunc(900*time.Millisecond, func() { wire.on(hung); other.on(down) })
		time.AfterFunc(3800*time.Millisecond, func() { wire.on(nil); other.on(nil) }) // its next write begins at 4.2 s
		together(2, func(i int) {
			time.Sleep(time.Duration(i) * time.Millisecond)
			got, err := []*tokencache.Coordinator{a, b}[i].Refresh(t.Context(), alice)
			is(t, "alice-access-1", got, err)
		})
		server.saw(t, 1)
	})
}

// B46, T-D2: the Store is slow for everybody. What is read gets through, and what a
// holder has to write does not.
func TestAHolderIsNotDeadBecauseTheStoreIsSlow(t *testing.T) {
	for _, took := range []time.Duration{400 * time.Millisecond, 900 * time.Millisecond, 1400 * time.Millisecond} {
		t.Run(took.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				a, b, wire := replicas(server)
				other := newWire(wire.Store)
				b.Store = other
				server.next(func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
					wire.on(down)
					other.on(slow(took))
					time.AfterFunc(8*time.Second, func() { wire.on(nil); other.on(nil) })
					time.Sleep(time.Second)
					return generation("alice", 1), nil
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

// B46, B48: a successor is large, and the Store does not take it for longer than
// anybody waits for a holder that is silent. This one is not: it has something
// small to say.
func TestAHolderThatCannotStoreItsSuccessorStaysTheHolder(t *testing.T) {
	for name, failing := range map[string]fault{"refused": down, "without an answer": hung} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				a, b, wire := replicas(server)
				wire.on(during("swap done", failing))
				time.AfterFunc(12*time.Second, func() { wire.on(nil) })
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

// B46, B48: the write of a successor takes longer than half a lease. Once the
// holder has said that it lives, the next one has the time for it.
func TestASuccessorThatTakesLongIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, b, wire := replicas(server)
		way := slow(2 * time.Second)
		wire.on(during("swap done", func(ctx context.Context, op string, when moment) error {
			return way(ctx, op, behind-when) // on its way there
		}))
		began := time.Now()
		together(2, func(i int) {
			time.Sleep(time.Duration(i) * time.Millisecond)
			got, err := []*tokencache.Coordinator{a, b}[i].Refresh(t.Context(), alice)
			is(t, "alice-access-1", got, err)
		})
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		server.saw(t, 1)
	})
}

// B37: a Store that heeds no context, and fails each time after longer than it has,
// is no process that stood still each time.
func TestAStoreThatFailsLateEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, wire := replicas(&as{})
		wire.on(func(_ context.Context, op string, when moment) error {
			if when == behind || op == "swap held" || op == "load" {
				return nil
			}
			time.Sleep(4 * time.Second)
			return errCut
		})
		time.AfterFunc(time.Hour, func() { wire.on(nil) })
		began := time.Now()
		got, err := a.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %v", took)
		}
		wire.on(nil)
	})
}

// B46: nor is an outage that is over counted when the next one begins.
func TestAHolderIsNotDeadBecauseTheStoreIsAwayNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 9 * time.Second}
		a, b, wire := replicas(server)
		b.Store = wire
		for i := range 5 {
			from := time.Duration(i)*1600*time.Millisecond + 500*time.Millisecond
			time.AfterFunc(from, func() { wire.on(down) })
			time.AfterFunc(from+time.Second, func() { wire.on(nil) })
		}
		together(2, func(i int) {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			got, err := []*tokencache.Coordinator{a, b}[i].Refresh(t.Context(), alice)
			is(t, "alice-access-1", got, err)
		})
		server.saw(t, 1)
	})
}

// B47: a holder that is dead is found out nevertheless, one lease after the Store
// is back, and while it is slow.
func TestAHolderThatIsDeadIsFoundOut(t *testing.T) {
	for name, row := range map[string]struct {
		fault fault
		lasts time.Duration // if not zero
		after time.Duration // it is found out, at most
	}{
		"in a lease":                           {after: 3 * time.Second},
		"after the Store was away":             {fault: down, lasts: 2 * time.Second, after: 6 * time.Second},
		"by a Store that is slow":              {fault: slow(time.Second), after: 15 * time.Second},
		"by a Store that is as slow as can be": {fault: slow(1490 * time.Millisecond), after: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				a, b, wire := replicas(server)
				dead := make(chan struct{})
				wire.on(during("swap held", func(_ context.Context, _ string, when moment) error {
					if when == behind {
						<-dead
					}
					return nil
				}))
				go a.Refresh(t.Context(), alice)
				synctest.Wait()
				other := newWire(wire.Store)
				if row.lasts == 0 {
					other.on(row.fault)
				} else {
					time.AfterFunc(500*time.Millisecond, func() { other.on(row.fault) })
					time.AfterFunc(500*time.Millisecond+row.lasts, func() { other.on(nil) })
				}
				b.Store = other
				began := time.Now()
				got, err := b.Refresh(t.Context(), alice)
				is(t, "alice-access-1", got, err)
				if took := time.Since(began); took > row.after {
					t.Errorf("it took %v", took)
				}
				close(dead)
				a.Wait(t.Context())
				b.Wait(t.Context())
			})
		})
	}
}

// B37: a Store that stays away ends the wait, and proves nothing.
func TestAStoreThatStaysAwayEndsTheWaitForAHolder(t *testing.T) {
	for name, away := range map[string]fault{"refusing": down, "silent": hung} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{takes: 9 * time.Second}
				a, b, wire := replicas(server)
				go a.Refresh(t.Context(), alice)
				synctest.Wait()
				other := newWire(wire.Store)
				b.Store = other
				time.AfterFunc(time.Second, func() { other.on(away) })
				began := time.Now()
				_, err := b.Refresh(t.Context(), alice)
				because(t, reason.Store, err)
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
				a.Wait(t.Context())
				server.saw(t, 1)
			})
		})
	}
}

// B46, T-K5: another exchange of this process holds the entry, for another
// resource, and the Store has taken none of its renewals. It has not died.
func TestAProcessDoesNotTakeItselfForDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 8 * time.Second, lives: time.Hour}
		a, _, wire := replicas(server)
		wire.on(withoutRenewal())
		time.AfterFunc(7*time.Second, func() { wire.on(nil) })
		together(2, func(i int) {
			time.Sleep(time.Duration(i) * 100 * time.Millisecond)
			got, err := a.Refresh(t.Context(), alice.For(resource(i)))
			isFor(t, resource(i), got, err)
		})
		server.saw(t, 2) // the second presents the successor
	})
}

// B33, T-D8: after a refusal the Store cannot be read for a moment. Whoever may
// yet succeed is waited for nevertheless.
func TestARivalIsWaitedForThoughTheStoreCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, b, wire := replicas(server)
		other := newWire(wire.Store)
		b.Store = other
		server.next(answers(8*time.Second), func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
			other.on(down)
			time.AfterFunc(2*time.Second, func() { other.on(nil) })
			return tokencache.Token{}, invalidGrant()
		})
		wire.on(withoutRenewal())
		together(2, func(i int) {
			time.Sleep(time.Duration(i) * time.Millisecond)
			got, err := []*tokencache.Coordinator{a, b}[i].Refresh(t.Context(), alice)
			is(t, "alice-access-1", got, err)
		})
		if n := server.presentations(); n != 2 {
			t.Errorf("%d presentations", n)
		}
	})
}

// B46, B48, T-K5: nor does it present the token again because what came of it is
// not in the Store: whoever waits for the holder finds it here.
func TestAProcessFindsWhatItsOtherExchangeCouldNotStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 50 * time.Millisecond, lives: time.Hour}
		a, _, wire := replicas(server)
		a.MaxInFlight = 1 // full, so that the second looks at the Store first
		wire.on(during("swap done", down))
		time.AfterFunc(16*time.Second, func() { wire.on(nil) }) // the holder has given up, and was not silent for a lease
		together(2, func(i int) {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			got, err := a.Refresh(t.Context(), alice.For(resource(i)))
			isFor(t, resource(i), got, err)
		})
		server.saw(t, 2) // the second presents the successor
		a.Wait(t.Context())
	})
}
