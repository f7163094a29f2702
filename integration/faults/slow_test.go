//go:build unix

package faults

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/tokencache"
)

// Redis takes a kilobyte a second, for more than a lease, when the answers have
// come: what a waiting replica reads is small and gets through, and a successor
// is large and does not.
func TestALeaderIsNotDeadBecauseRedisIsSlow(t *testing.T) {
	for _, sessions := range []int{1, 40} {
		t.Run(fmt.Sprint(sessions, " sessions"), func(t *testing.T) {
			t.Parallel()
			as := authtest.NewAS(authtest.ASConfig{Delay: 500 * time.Millisecond})
			defer as.Close()
			redis := startProxy(t, redisd.Start(t).Addr())
			a, b := replicaOn(t, as, redis.addr), replicaOn(t, as, redis.addr)
			var spent []tokencache.Token
			for i := range sessions {
				spent = append(spent, as.SignIn(fmt.Sprint("user", i)))
			}
			var all sync.WaitGroup
			refresh := func(c *tokencache.Coordinator) {
				for i, at := range spent {
					all.Go(func() {
						if _, err := c.Refresh(t.Context(), at); errors.Is(err, tokencache.ErrLoginRequired) {
							t.Errorf("user%d: %v", i, err)
						}
					})
				}
			}
			refresh(a)
			for as.Counts().Presentations < sessions {
				time.Sleep(time.Millisecond)
			}
			refresh(b)
			pause(t.Context(), 200*time.Millisecond)
			redis.begin(fault{kind: trickle})
			pause(t.Context(), 2*lease)
			redis.end()
			all.Wait()
			for i, at := range spent {
				if n := as.PresentationsOf(at.Refresh()); n != 1 {
					t.Errorf("user%d: %d presentations", i, n)
				}
			}
		})
	}
}
