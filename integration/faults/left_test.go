//go:build linux

package faults

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/tokencache/redisstore"
)

// A connection that fails before Redis has greeted it is closed, as one is that
// fails later. Otherwise some seconds of this cost a process all its files.
func TestNoConnectionIsLeft(t *testing.T) {
	for _, f := range []fault{{kind: reset}, {kind: slowClose, delay: 100 * time.Millisecond, before: true}, {kind: halfOpen}} {
		t.Run(f.String(), func(t *testing.T) {
			redis := startProxy(t, redisd.Start(t).Addr())
			store, err := redisstore.Open("redis://" + redis.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			load := func() {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				store.Load(ctx, "key")
			}
			load()
			before := files(t)
			redis.begin(f)
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					for range 50 {
						load()
					}
				})
			}
			all.Wait()
			redis.end()
			most := before + 2*int(store.Client.PoolStats().TotalConns) + 10 // both ends of the way are here
			for until := time.Now().Add(10 * time.Second); files(t) > most; time.Sleep(50 * time.Millisecond) {
				if time.Now().After(until) {
					t.Fatalf("%d files are open, and there were %d", files(t), before)
				}
				load()
			}
		})
	}
}

func files(t *testing.T) int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
