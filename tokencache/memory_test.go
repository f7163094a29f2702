package tokencache_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// value returns what a Coordinator would store for a state. It says in the clear
// what a Store needs to know of it.
func value(state byte) []byte {
	return append([]byte{tokencache.ValueFormat, state}, make([]byte, 500)...)
}

const (
	anExchangeInFlight = 'h'
	anEndedSession     = 'o'
	aParkedSuccessor   = 'd'
	aReceivedOne       = 'r'
	aFailure           = 'f'
)

// put writes a value under a new key, and returns whether there was room.
func put(m *tokencache.MemoryStore, key string, state byte, ttl time.Duration) bool {
	_, ok, _ := m.Swap(context.Background(), key, "", value(state), ttl)
	return ok
}

func has(m *tokencache.MemoryStore, key string) bool {
	e, _ := m.Load(context.Background(), key)
	return e.Version != ""
}

// B28
func TestWhatIsEvicted(t *testing.T) {
	for name, row := range map[string]struct {
		first, second byte // the former is the older one
		gone          string
		counted       uint64
	}{
		"a received successor before a parked one":   {aParkedSuccessor, aReceivedOne, "second", 1},
		"a failure before a parked successor":        {aParkedSuccessor, aFailure, "second", 0},
		"the older of two parked ones":               {aParkedSuccessor, aParkedSuccessor, "first", 1},
		"a parked one before an exchange in flight":  {anExchangeInFlight, aParkedSuccessor, "second", 1},
		"a parked one before an ended session":       {anEndedSession, aParkedSuccessor, "second", 1},
		"the older of two received ones, if counted": {aReceivedOne, aReceivedOne, "first", 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := &tokencache.MemoryStore{MaxBytes: 2000} // room for two
			put(m, "first", row.first, time.Hour)
			put(m, "second", row.second, time.Hour)
			if !put(m, "third", anExchangeInFlight, time.Hour) {
				t.Fatal("no room was made")
			}
			for _, key := range []string{"first", "second", "third"} {
				if has(m, key) == (key == row.gone) {
					t.Errorf("%s: %v", key, has(m, key))
				}
			}
			if n := m.Evicted(); n != row.counted {
				t.Errorf("%d were counted, want %d", n, row.counted)
			}
		})
	}
}

// B28
func TestWhatHasExpiredIsEvictedFirst(t *testing.T) {
	for name, states := range map[string][2]byte{
		"of one kind":                  {aParkedSuccessor, aParkedSuccessor},
		"of a kind that is worth more": {aReceivedOne, aParkedSuccessor},
		"even an ended session":        {aReceivedOne, anEndedSession},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &tokencache.MemoryStore{MaxBytes: 2000}
				put(m, "old, but alive", states[0], time.Hour)
				put(m, "expired", states[1], time.Second)
				time.Sleep(time.Second)
				if !put(m, "new", aParkedSuccessor, time.Hour) || !has(m, "old, but alive") || m.Evicted() != 0 {
					t.Error("what is alive was evicted")
				}
			})
		})
	}
}

// B28
func TestExchangesInFlightAndEndedSessionsAreNeverEvicted(t *testing.T) {
	m := &tokencache.MemoryStore{MaxBytes: 10_000}
	n := 0
	for put(m, fmt.Sprint(n), "ho"[n%2], time.Hour) {
		n++
	}
	if n < 5 || n > 20 {
		t.Errorf("there was room for %d", n)
	}
	for i := range n {
		if !has(m, fmt.Sprint(i)) {
			t.Errorf("%d of %d is gone", i, n)
		}
	}
	e, _ := m.Load(t.Context(), "0")
	bigger := append(value(aParkedSuccessor), make([]byte, 5000)...)
	if _, ok, err := m.Swap(t.Context(), "0", e.Version, bigger, time.Hour); !ok {
		t.Errorf("an exchange cannot end: %v", err)
	}
}

// B28
func TestTheMemoryIsBoundedInBytes(t *testing.T) {
	const limit = 8 << 20
	m := &tokencache.MemoryStore{MaxBytes: limit}
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	empty := heap()
	for i := range 50_000 {
		put(m, fmt.Sprintf("%064d", i), aParkedSuccessor, time.Hour)
	}
	if used := heap() - empty; used > limit*5/4 {
		t.Errorf("%d bytes are used, of %d", used, limit)
	}
	if m.Evicted() == 0 {
		t.Error("nothing was evicted")
	}
	runtime.KeepAlive(m)
}

// B28
func TestTheMemoryIsBoundedByDefault(t *testing.T) {
	const limit = 64 << 20
	m := &tokencache.MemoryStore{}
	for i := range limit / 15_000 {
		m.Swap(t.Context(), fmt.Sprint(i), "", append(value(aParkedSuccessor), make([]byte, 20_000)...), time.Hour)
	}
	if held := m.Held(); held > limit || held < limit*9/10 {
		t.Errorf("%d bytes are held", held)
	}
}

// B28: what nobody asks for any more does not stay for ever.
func TestExpiredEntriesMakeWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &tokencache.MemoryStore{}
		for i := range 1000 {
			put(m, fmt.Sprint(i), aParkedSuccessor, time.Second)
		}
		time.Sleep(time.Second)
		for i := range 200 {
			put(m, fmt.Sprint("new", i), aParkedSuccessor, time.Hour)
		}
		for i := range 1000 {
			if has(m, fmt.Sprint(i)) {
				t.Fatalf("%d has not expired", i)
			}
		}
		if m.Evicted() != 0 {
			t.Errorf("%d were counted as evicted alive", m.Evicted())
		}
	})
}

// B28: what is counted is what is gone, and nobody else.
func TestEvictedSuccessorsAreCounted(t *testing.T) {
	m := &tokencache.MemoryStore{MaxBytes: 1 << 20}
	const n = 9000
	for i := range n {
		put(m, fmt.Sprint(i), "dfr"[i%3], time.Hour)
		if held := m.Held(); held > m.MaxBytes {
			t.Fatalf("%d bytes are held", held)
		}
	}
	gone, failures := 0, 0
	for i := range n {
		switch {
		case has(m, fmt.Sprint(i)):
		case i%3 == 1:
			failures++
		default:
			gone++
		}
	}
	if m.Evicted() != uint64(gone) || gone == 0 || failures < n/4 {
		t.Errorf("%d were counted, %d are gone, and %d failures", m.Evicted(), gone, failures)
	}
}

// B28: who waits for what is evicted need not wait for its end.
func TestWaitWakesWhenTheEntryIsEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &tokencache.MemoryStore{MaxBytes: 10_000}
		put(m, "first", aParkedSuccessor, time.Hour)
		was, _ := m.Load(t.Context(), "first")
		woken := make(chan tokencache.Entry)
		go func() {
			e, _ := m.Wait(t.Context(), "first", was.Version)
			woken <- e
		}()
		synctest.Wait()
		began := time.Now()
		for i := range 100 {
			put(m, fmt.Sprint(i), aParkedSuccessor, time.Hour)
		}
		if e := <-woken; e.Version != "" || time.Since(began) != 0 {
			t.Errorf("version %q after %v", e.Version, time.Since(began))
		}
	})
}

// A Load copies the value, and writes its version down.
func TestALoadAllocatesTheValueAndItsVersion(t *testing.T) {
	m := &tokencache.MemoryStore{}
	for i := range 100 { // small numbers are strings already
		put(m, fmt.Sprint(i), aParkedSuccessor, time.Hour)
	}
	if n := testing.AllocsPerRun(100, func() { m.Load(context.Background(), "99") }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

// Many write, read, wait and delete at once in little memory: nobody reads what
// another key holds, or half of a value.
func TestTheMemoryIsUsedByManyAtOnce(t *testing.T) {
	m := &tokencache.MemoryStore{MaxBytes: 128 << 10}
	together(8, func(i int) {
		for n := range 3000 {
			key := fmt.Sprint((n*7 + i) % 300)
			e, err := m.Load(t.Context(), key)
			if err != nil || len(e.Value) > 0 && !bytes.HasSuffix(e.Value, []byte("of "+key)) {
				t.Errorf("%q: %v", e.Value, err)
			}
			var next []byte
			if n%5 > 0 {
				next = append(value("dfrho"[n%5])[:2+n%500], "of "+key...)
			}
			m.Swap(t.Context(), key, e.Version, next, time.Duration(1+n%3)*time.Millisecond)
			if n%100 == 0 {
				ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
				m.Wait(ctx, key, e.Version)
				leave()
			}
		}
	})
	if held := m.Held(); held > m.MaxBytes+8<<10 {
		t.Errorf("%d bytes are held", held)
	}
}

// B32: a full Store is a Store that fails, and not a loop.
func TestAFullMemoryIsTransient(t *testing.T) {
	m := &tokencache.MemoryStore{MaxBytes: 1}
	server := &as{}
	c := &tokencache.Coordinator{Refresher: server, Store: m, Realm: "r"}
	_, err := c.Refresh(t.Context(), alice)
	because(t, reason.Store, err)
	server.saw(t, 0)
}

// B28, B29: who waited and left leaves nothing behind.
func TestNothingStaysOfAWaitThatWasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &tokencache.MemoryStore{}
		together(20, func(i int) {
			ctx, leave := context.WithTimeout(t.Context(), time.Second)
			defer leave()
			m.Wait(ctx, fmt.Sprint("nothing ", i%3), "")
		})
		if n := m.Watched(); n != 0 {
			t.Errorf("%d keys are still watched", n)
		}
	})
}
