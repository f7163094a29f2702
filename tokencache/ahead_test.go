package tokencache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// B34, B78
func TestRefreshAhead(t *testing.T) {
	for name, row := range map[string]struct {
		lives, age time.Duration
		ahead      time.Duration
		how        answer
		starts     bool
	}{
		"in the window":                                   {time.Hour, time.Hour - 29*time.Second, 0, (*as).exchange, true},
		"before the window":                               {time.Hour, time.Hour - 31*time.Second, 0, (*as).exchange, false},
		"never in the first half":                         {20 * time.Second, 9 * time.Second, 0, (*as).exchange, false},
		"but in the second":                               {20 * time.Second, 11 * time.Second, 0, (*as).exchange, true},
		"not if it is turned off":                         {time.Hour, time.Hour - time.Second, -1, (*as).exchange, false},
		"is not felt when it fails":                       {time.Hour, time.Hour - 29*time.Second, 0, fails(unavailable()), true},
		"is not felt when it hangs":                       {time.Hour, time.Hour - 29*time.Second, 0, hangs, true},
		"is not felt when the grant is dead":              {time.Hour, time.Hour - 29*time.Second, 0, fails(invalidGrant()), true},
		"in the second half of less than the usual ahead": {10 * time.Second, 6 * time.Second, 0, (*as).exchange, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				server.next(row.how)
				c := &tokencache.Coordinator{Refresher: server, Ahead: row.ahead}
				now := lasting(alice, row.lives)
				time.Sleep(row.age)
				began := time.Now()
				together(20, func(int) {
					got, err := tokencache.New(c, now).Fresh(t.Context())
					is(t, alice.Access(), got, err)
				})
				if took := time.Since(began); took != 0 {
					t.Errorf("somebody waited for %v", took)
				}
				synctest.Wait()
				if n := server.presentations(); n != map[bool]int{true: 1}[row.starts] {
					t.Errorf("%d presentations", n)
				}
				together(20, func(int) {
					got, err := tokencache.New(c, now).Fresh(t.Context())
					is(t, alice.Access(), got, err)
				})
				c.Wait(t.Context())
				if n := server.presentations(); n > 1 {
					t.Errorf("%d presentations in the end", n)
				}
			})
		})
	}
}

// B78: the one that began it is not the only one to have it.
func TestWhatWasRenewedAheadArrivesInTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: time.Second}
		c := &tokencache.Coordinator{Refresher: server}
		cache := tokencache.New(c, lasting(alice, time.Minute))
		time.Sleep(40 * time.Second)
		cache.Fresh(t.Context())
		c.Wait(t.Context())
		if got, changed := cache.Changed(); !changed || got.Access() != "alice-access-1" {
			t.Errorf("changed is %v, to %q", changed, got.Access())
		}
	})
}

// B78: a rejected token may be on its way to be replaced already.
func TestARejectionDuringARefreshAheadPresentsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: time.Second}
		c := &tokencache.Coordinator{Refresher: server}
		now := lasting(alice, time.Minute)
		time.Sleep(40 * time.Second)
		tokencache.New(c, now).Fresh(t.Context())
		synctest.Wait()
		together(20, func(i int) {
			time.Sleep(time.Duration(i) * 100 * time.Millisecond)
			got, err := tokencache.New(c, now).Refresh(t.Context(), now)
			is(t, "alice-access-1", got, err)
		})
		server.saw(t, 1)
	})
}

// B34: once the access token has ended, a transient failure is felt.
func TestAnEndedAccessTokenIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		server.next(fails(unavailable()))
		c := &tokencache.Coordinator{Refresher: server}
		cache := tokencache.New(c, ended(alice))
		_, err := cache.Fresh(t.Context())
		because(t, reason.Unavailable, err)
		time.Sleep(time.Second)
		got, err := cache.Fresh(t.Context())
		is(t, "alice-access-1", got, err)
		if cache.Err() != nil {
			t.Errorf("Err after a success is %v", cache.Err())
		}
	})
}
