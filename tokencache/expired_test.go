package tokencache_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// B28: what has expired makes way before anybody who lives, also where times to
// live are mixed, as those of two Coordinators with one MemoryStore are.
func TestWhatHasExpiredMakesWayBeforeTheLiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &tokencache.MemoryStore{MaxBytes: 4 << 20}
		put := func(key string, ttl time.Duration) {
			if _, ok, err := m.Swap(t.Context(), key, "", value(aParkedSuccessor), ttl); !ok {
				t.Fatal(err)
			}
		}
		for i := range 3000 { // there is room for some 6000
			put(fmt.Sprint("short ", i), 20*time.Hour)
			if i%10 == 0 {
				put(fmt.Sprint("long ", i), 30*time.Hour)
			}
		}
		time.Sleep(21 * time.Hour)
		before := m.Evicted()
		for i := range 3500 {
			put(fmt.Sprint("new ", i), 30*time.Hour)
		}
		if gone := m.Evicted() - before; gone > 0 {
			t.Errorf("%d of 3800 that live were evicted, and there was room for them all", gone)
		}
	})
}

// B28: a store is not full of sessions that ended long ago.
func TestAStoreIsNotFullOfWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &tokencache.MemoryStore{MaxBytes: 4 << 20}
		put := func(key string, ttl time.Duration) bool {
			_, ok, _ := m.Swap(t.Context(), key, "", value(anEndedSession), ttl)
			return ok
		}
		n := 0
		for ; put(fmt.Sprint("short ", n), 20*time.Hour); n++ {
			if n%50 == 0 && !put(fmt.Sprint("long ", n), 30*time.Hour) {
				break
			}
		}
		time.Sleep(21 * time.Hour) // one of 50 lives
		again := 0
		for ; again < n && put(fmt.Sprint("new ", again), 20*time.Hour); again++ {
		}
		if again < n/2 {
			t.Errorf("there was room for %d, nearly all have expired, and there is room for %d", n, again)
		}
	})
}

// Where only what FIPS 140 approves is allowed, HKDF takes no short secret; a
// browser may show a refresh token of one letter, and that must not end the
// process.
func TestAShortRefreshTokenInFIPSMode(t *testing.T) {
	const inside = "REBEARER_TEST_FIPS"
	if os.Getenv(inside) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAShortRefreshTokenInFIPSMode$", "-test.count=1")
		cmd.Env = append(os.Environ(), inside+"=1", "GODEBUG=fips140=only")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	server := &as{}
	c := &tokencache.Coordinator{Refresher: server}
	now := time.Now()
	cache := tokencache.New(c, tokencache.NewToken(tokencache.TokenFields{Access: "alice-access-0", Refresh: "x", Issued: now.Add(-time.Hour), Expiry: now.Add(time.Second)}))
	cache.Fresh(t.Context()) // renews ahead, in a goroutine of its own
	c.Wait(t.Context())
	if _, err := cache.Refresh(t.Context(), cache.Token()); err != nil {
		t.Log(err)
	}
}
