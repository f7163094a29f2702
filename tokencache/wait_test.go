package tokencache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// T-D5
func TestWaitReturnsWhenAllIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: time.Second}
		c := &tokencache.Coordinator{Refresher: server}
		leaving, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		c.Refresh(leaving, alice)
		soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := c.Wait(soon); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait returned %v in mid-exchange", err)
		}
		began := time.Now()
		if err := c.Wait(t.Context()); err != nil || time.Since(began) != 998*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := c.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// hasty is a context that ends just after it was found alive.
type hasty struct{ context.Context }

func (hasty) Done() <-chan struct{} { c := make(chan struct{}); close(c); return c }

// T-D5
func TestWaitMissesNoExchangeThatIsAboutToBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i := range 100 {
			server := &as{takes: time.Second}
			c := &tokencache.Coordinator{Refresher: server}
			c.Refresh(hasty{t.Context()}, alice)
			c.Wait(t.Context())
			if server.presentations() != 1 {
				t.Fatalf("round %d: Wait returned before the exchange began", i)
			}
		}
	})
}
