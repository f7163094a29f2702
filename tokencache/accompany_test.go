package tokencache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// B53, T-D15: a stream on one replica, whose session is moved on by another until
// the stream's refresh token has been forgotten.
func TestALongRequestIsAccompaniedThroughOtherReplicas(t *testing.T) {
	for name, row := range map[string]struct {
		accompanied   bool
		presentations int
	}{
		"accompanied, it presents nothing":    {true, 2},
		"alone, it presents a token as spent": {false, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{lives: 5 * time.Minute, rotation: grace}
				a, b, _ := replicas(server)
				first := tokencache.NewToken(tokencache.TokenFields{
					Access: alice.Access(), Refresh: alice.Refresh(), Expiry: time.Now().Add(5 * time.Minute),
				})
				stream := tokencache.New(a, first)
				if row.accompanied {
					defer stream.Accompany()()
				}
				for i := range 2 { // each shows what the last has brought
					time.Sleep(5*time.Minute + 10*time.Second)
					if _, err := b.Refresh(t.Context(), generation("alice", i)); err != nil {
						t.Fatal(err)
					}
					b.Wait(t.Context())
				}
				time.Sleep(2 * time.Minute) // Grace is over
				stream.Refresh(t.Context(), first)
				if n := server.presentations(); n != row.presentations {
					t.Errorf("%d presentations, want %d", n, row.presentations)
				}
				if row.accompanied {
					is(t, "alice-access-2", stream.Token(), stream.Err())
				}
			})
		})
	}
}

// B50: it asks for nothing while the access token works, for little afterwards,
// and for nothing once the request is over.
func TestAccompanyingAsksTheStoreLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := metered()
		c := &tokencache.Coordinator{Refresher: &as{}, Store: store, Realm: "r"}
		cache := tokencache.New(c, tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "r", Expiry: time.Now().Add(time.Hour)}))
		stop := cache.Accompany()
		for _, row := range []struct {
			sentence string
			lasts    time.Duration
			most     int
		}{
			{"while it works", time.Hour - time.Second, 0},
			{"when it has ended", 10 * time.Second, 1},
			{"and for an hour", time.Hour, 120},
		} {
			time.Sleep(row.lasts)
			synctest.Wait()
			if ops, sum := store.took(); sum > row.most || row.most > 0 && sum == 0 {
				t.Errorf("%s: %v", row.sentence, ops)
			}
		}
		stop()
		stop()
		time.Sleep(time.Hour)
		if ops, sum := store.took(); sum > 0 {
			t.Errorf("when it is over: %v", ops)
		}
	})
}

func TestNobodyIsAccompanied(t *testing.T) {
	var none *tokencache.Cache
	none.Accompany()()
	tokencache.New(nil, alice).Accompany()()
	tokencache.New(&tokencache.Coordinator{}, alice).Accompany()()
	tokencache.New(&tokencache.Coordinator{Store: panicking{}, Realm: "r"}, tokencache.Token{}).Accompany()()
}

// panicking is a Store that does, whatever it is asked.
type panicking struct{ tokencache.Store }

func (panicking) Load(context.Context, string) (tokencache.Entry, error) { panic("no") }

func TestAStoreThatPanicsEndsNoProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &tokencache.Coordinator{Refresher: &as{}, Store: panicking{}, Realm: "r"}
		defer tokencache.New(c, alice).Accompany()()
		time.Sleep(time.Hour)
	})
}
