package tokencache

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/internal/compact"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// T-D14: a failure that was written by a replica whose clock differs. The cooldown
// spares the authorization server and nobody's session: whose clock is behind or
// far ahead presents at once, and nobody rests for longer than it was to be.
func TestTheCooldownOfAReplicaWhoseClockDiffers(t *testing.T) {
	for name, row := range map[string]struct {
		ahead time.Duration // the writer's clock
		rests bool
	}{
		"the clocks agree":             {0, true},
		"the writer is 2 s behind":     {-2 * time.Second, true},
		"the writer is an hour behind": {-time.Hour, false},
		"the writer is 1 s ahead":      {time.Second, false},
		"the writer is an hour ahead":  {time.Hour, false},
		"the writer is at the epoch":   {time.Until(time.UnixMilli(1)), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, server := &MemoryStore{}, &plainServer{}
				k := derive(realm, "spent")
				var b compact.Buffer
				bad := &payload{Failure: &failure{Reason: reason.Network, Since: time.Now().Add(row.ahead).UnixMilli(), For: 5000}}
				bad.write(&b)
				store.Swap(t.Context(), k.id, "", hostile(k, failed, b), time.Hour)
				c := &Coordinator{Refresher: server, Store: store, Realm: realm}
				shown := NewToken(TokenFields{Access: "a", Refresh: "spent"})
				_, err := c.Refresh(t.Context(), shown)
				var e *Error
				if rested := errors.As(err, &e) && e.Reason == reason.Network; rested != row.rests || rested == (server.presentations() == 1) {
					t.Errorf("%v, %d presentations", err, server.presentations())
				}
				if row.rests && (e.RetryAfter <= 0 || e.RetryAfter > 5*time.Second) {
					t.Errorf("again after %v", e.RetryAfter)
				}
				time.Sleep(5 * time.Second)
				if got, err := c.Refresh(t.Context(), shown); err != nil || server.presentations() != 1 {
					t.Errorf("%v, %v, %d presentations", got, err, server.presentations())
				}
				c.Wait(t.Context())
			})
		})
	}
}
