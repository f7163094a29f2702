package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// sessionStorm is a browser with tabs at three replicas of a strict server, whose
// responses land in any order. It returns what was lost.
func sessionStorm(t *testing.T, seed uint64, resources int, lives time.Duration, tabs int, slow time.Duration) (reused int, lost error) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: lives, takes: 30 * time.Millisecond}
		store := &tokencache.MemoryStore{}
		var all []*tokencache.Coordinator
		for range 3 {
			all = append(all, &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"})
		}
		var mu sync.Mutex
		browser := alice
		together(tabs, func(tab int) {
			r := mrand.New(mrand.NewPCG(seed, uint64(tab)))
			for range 40 {
				mu.Lock()
				shown := browser
				mu.Unlock()
				c := all[r.IntN(len(all))]
				cache := tokencache.New(c, shown)
				together(1+r.IntN(3), func(i int) {
					r := mrand.New(mrand.NewPCG(seed, uint64(tab*10+i)))
					time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
					k := r.IntN(resources + 1)
					res := ""
					if k > 0 {
						res = resource(k)
					}
					got, err := cache.FreshFor(context.Background(), res)
					if err == nil && got.Resource() != res {
						t.Error("another's")
					}
					if errors.Is(err, tokencache.ErrLoginRequired) {
						mu.Lock()
						lost = err
						mu.Unlock()
					}
				})
				time.Sleep(time.Duration(r.Int64N(int64(slow))))
				cache.CatchUp(context.Background())
				if newest, changed := cache.Changed(); changed {
					mu.Lock()
					browser = cookie(newest) // as the responses land
					mu.Unlock()
				}
				if r.IntN(4) == 0 {
					time.Sleep(time.Duration(r.IntN(180)) * time.Second)
				}
			}
		})
		for _, c := range all {
			c.Wait(context.Background())
		}
		time.Sleep(time.Minute)
		reused = server.reused
	})
	return
}

// faultyStorm is one whose Store fails now and then.
func faultyStorm(t *testing.T, seed uint64, resources int) (reused, most int, lost error) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: 5 * time.Minute, takes: 30 * time.Millisecond}
		store := &tokencache.MemoryStore{}
		var fmu sync.Mutex
		fr := mrand.New(mrand.NewPCG(seed, 99))
		var all []*tokencache.Coordinator
		for range 3 {
			w := newWire(store)
			w.on(func(ctx context.Context, op string, when moment) error {
				fmu.Lock()
				x := fr.IntN(100)
				fmu.Unlock()
				if x < 4 {
					return errCut
				}
				return nil
			})
			all = append(all, &tokencache.Coordinator{Refresher: server, Store: w, Realm: "r"})
		}
		var mu sync.Mutex
		browser := alice
		together(5, func(tab int) {
			r := mrand.New(mrand.NewPCG(seed, uint64(tab)))
			for range 30 {
				mu.Lock()
				shown := browser
				mu.Unlock()
				cache := tokencache.New(all[r.IntN(3)], shown)
				for range 1 + r.IntN(3) {
					res := ""
					if k := r.IntN(resources + 1); k > 0 {
						res = resource(k)
					}
					_, err := cache.FreshFor(context.Background(), res)
					if errors.Is(err, tokencache.ErrLoginRequired) {
						mu.Lock()
						lost = err
						mu.Unlock()
					}
				}
				cache.CatchUp(context.Background())
				if newest, changed := cache.Changed(); changed {
					mu.Lock()
					browser = cookie(newest)
					mu.Unlock()
				}
				time.Sleep(time.Duration(r.IntN(30000)) * time.Millisecond)
			}
		})
		for _, c := range all {
			c.Wait(context.Background())
		}
		time.Sleep(time.Minute)
		reused, most = server.reused, server.most
	})
	return
}

// B53, B55: whatever order the responses land in, and however long they take, no
// session is lost and no refresh token is presented twice.
func TestSessionsWithResourcesSurviveAnyOrder(t *testing.T) {
	for _, resources := range []int{0, 3, 8} {
		for _, slow := range []time.Duration{20 * time.Second, time.Minute} {
			t.Run(fmt.Sprint(resources, " resources, handlers of up to ", slow), func(t *testing.T) {
				for seed := range uint64(8) {
					if reused, lost := sessionStorm(t, seed, resources, time.Minute, 6, slow); lost != nil || reused > 0 {
						t.Errorf("seed %d: %v, %d reuses", seed, lost, reused)
					}
				}
			})
		}
	}
}

// T-D15: nor does a Store that fails cost one.
func TestSessionsWithResourcesSurviveAFailingStore(t *testing.T) {
	for _, resources := range []int{0, 4} {
		for seed := range uint64(8) {
			if reused, most, lost := faultyStorm(t, seed, resources); lost != nil || reused > 0 || most > 1 {
				t.Errorf("%d resources, seed %d: %v, %d reuses, %d at once", resources, seed, lost, reused, most)
			}
		}
	}
}
