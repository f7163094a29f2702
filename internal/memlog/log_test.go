package memlog_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/rebearer/rebearer/internal/memlog"
)

const room = 1 << 30

// put writes n bytes under a key that is made of a number.
func put(t *testing.T, l *memlog.Log, now int64, limit, i int, class memlog.Class, n int, ttl int64) bool {
	t.Helper()
	_, ok := l.Put(now, int64(limit), l.Key(fmt.Sprint(i)), class, make([]byte, n), ttl)
	return ok
}

func none(t *testing.T) *memlog.Log {
	return memlog.New(func(memlog.Key, []byte) { t.Error("something was evicted") })
}

func sound(t *testing.T, l *memlog.Log) {
	t.Helper()
	if err := l.Audit(); err != nil {
		t.Fatal(err)
	}
}

// An index of hundreds of tables finds what is there, and nothing else, and
// gives back what it took.
func TestManyEntriesComeAndGo(t *testing.T) {
	const n = 60_000
	l := none(t)
	for i := range n {
		put(t, l, 0, room, i, 1, i%50, second)
	}
	sound(t, l)
	full := l.Held()
	for i := range 2 * n {
		e, ok := l.Get(0, l.Key(fmt.Sprint(i)))
		if ok != (i < n) || ok && len(e.Value) != i%50 {
			t.Fatalf("%d is there: %v, with %d bytes", i, ok, len(e.Value))
		}
	}
	for i := range n - n/100 {
		l.Delete(0, l.Key(fmt.Sprint(i)))
	}
	sound(t, l)
	if l.Len() != n/100 || l.Held() > full/20 {
		t.Errorf("%d entries and %d bytes of %d are left of 1 %%", l.Len(), l.Held(), full)
	}
	for i := range n {
		l.Delete(0, l.Key(fmt.Sprint(i)))
	}
	if l.Len() != 0 || l.Held() != 0 {
		t.Errorf("%d entries and %d bytes are left of nothing", l.Len(), l.Held())
	}
}

// What an entry takes beside its value, when there are many.
func TestAnEntryTakesLittle(t *testing.T) {
	const n, size = 100_000, 800
	l := none(t)
	for i := range n {
		put(t, l, 0, room, i, 1, size, second)
	}
	if over := l.Held()/n - size; over > 64 {
		t.Errorf("%d bytes beside the value", over)
	}
}

// Expired entries go without being asked for, some with each write.
func TestWhatHasExpiredGoesByItself(t *testing.T) {
	l := none(t)
	for i := range 10_000 {
		put(t, l, int64(i), room, i, memlog.Class(i%2), 500, second+int64(i%7))
	}
	put(t, l, 0, room, -1, 0, 500, 3600*second)
	full := l.Held()
	for i := range 200 {
		put(t, l, 2*second, room, -2-i, 0, 10, 3600*second)
	}
	if l.Len() != 201 || l.Held() > full/50 {
		t.Errorf("%d entries and %d bytes of %d are left", l.Len(), l.Held(), full)
	}
	sound(t, l)
}

// Who moves takes no dead along.
func TestWhatHasExpiredIsLeftBehind(t *testing.T) {
	l := none(t)
	const n = 40
	for i := range n {
		put(t, l, 0, room, i, 1, 150, second*(11+int64(i%2)*8)/10)
	}
	put(t, l, 0, room, n, 1, 2000, 1.9*second) // what is before it is full
	for i := 1; i < n; i += 4 {
		l.Delete(1.5*second, l.Key(fmt.Sprint(i)))
	}
	for i := 2; i < n; i += 4 {
		l.Get(1.5*second, l.Key(fmt.Sprint(i)))
	}
	if l.Len() > n/4+n/8 {
		t.Errorf("%d are left, of which %d live", l.Len(), n/4+1)
	}
	sound(t, l)
}

// Survivors move together.
func TestALittleOfMuchTakesLittle(t *testing.T) {
	l := none(t)
	const n, few = 20_000, 60
	for i := range n {
		put(t, l, 0, room, i, 1, 1000, second)
	}
	for i := range n {
		if i%few > 0 {
			l.Delete(0, l.Key(fmt.Sprint(i)))
		}
	}
	sound(t, l)
	if each := l.Held() / (n / few); each > 1200 {
		t.Errorf("%d bytes each", each)
	}
}

// One that holds little is small, however different its entries are.
func TestALogBeginsSmall(t *testing.T) {
	l := none(t)
	for i := range 30 {
		put(t, l, 0, room, i, memlog.Class(i%3), 100, second<<(i/3))
	}
	if l.Held() > 40<<10 {
		t.Errorf("%d bytes for 30 entries", l.Held())
	}
}

// When shorter values take the place of longer ones, there are more and more.
func TestTheIndexIsWithinTheLimit(t *testing.T) {
	for limit := 150_000; limit < 180_000; limit += 1000 {
		l := memlog.New(func(memlog.Key, []byte) {})
		for i := range 4000 {
			size := 3000
			if i > 200 {
				size = 20
			}
			if put(t, l, 0, limit, i, 1, size, second); l.Held() > int64(limit) {
				t.Fatalf("%d bytes of %d with %d entries", l.Held(), limit, l.Len())
			}
		}
	}
}

// Sessions come, change and go for a long time, and the memory stays as it is.
func TestMemoryDoesNotGrowWithTime(t *testing.T) {
	l := none(t)
	const alive, generations = 1000, 50
	now, peak := int64(0), int64(0)
	for i := range alive * generations {
		now += second
		put(t, l, now, room, i, memlog.Kept, 100, 3*alive*second)             // in flight
		put(t, l, now, room, i, 1, 300+i%200, 3*alive*second)                 // exchanged
		put(t, l, now, room, i-alive/2-i%400, 0, 300, (60+int64(i%5))*second) // received, at some time later
		if i == alive*10 {
			peak = l.Held()
		}
		if i > alive*10 && l.Held() > peak*5/4 {
			t.Fatalf("in generation %d %d bytes are held, after %d at first", i/alive, l.Held(), peak)
		}
	}
	sound(t, l)
}

// An entry is evicted with those that are about as old, and no others.
func TestLittleIsEvictedAtATime(t *testing.T) {
	const limit = 4 << 20
	evicted := 0
	l := memlog.New(func(memlog.Key, []byte) { evicted++ })
	for i := range 20_000 {
		before := evicted
		put(t, l, 0, limit, i, 1, 500, second)
		if n := evicted - before; n > 2*limit/64/500 {
			t.Fatalf("%d were evicted for one", n)
		}
	}
	if l.Len()+evicted != 20_000 || l.Held() < limit*19/20 {
		t.Errorf("%d were evicted, %d stay in %d bytes", evicted, l.Len(), l.Held())
	}
}

// The oldest goes first, also where times to live differ.
func TestTheOldestOfAClassGoesFirst(t *testing.T) {
	for _, ttls := range [][2]int64{{3600 * second, second}, {second, 3600 * second}} {
		l := memlog.New(func(memlog.Key, []byte) {})
		put(t, l, 0, 2000, 0, 1, 500, second)
		put(t, l, 0, 2000, 0, 1, 500, 3600*second)
		l.Delete(0, l.Key("0"))
		put(t, l, 0, 2000, 1, 1, 500, ttls[0])
		put(t, l, 0, 2000, 2, 1, 500, ttls[1])
		put(t, l, 0, 2000, 3, 1, 500, ttls[0])
		_, first := l.Get(0, l.Key("1"))
		_, second := l.Get(0, l.Key("2"))
		if first || !second {
			t.Errorf("the first is there: %v, and the second: %v", first, second)
		}
	}
}

// All that has expired makes room before anybody is evicted.
func TestAllThatHasExpiredMakesRoomFirst(t *testing.T) {
	l := none(t)
	for i := range 15 {
		put(t, l, 0, 15_000, i, memlog.Class(i%2), 500, second)
	}
	put(t, l, 0, 15_000, -1, 0, 500, 3600*second)
	if !put(t, l, second, 15_000, -2, memlog.Kept, 11_000, second) {
		t.Error("no room was made")
	}
}

func TestATimeToLiveMayBeForEver(t *testing.T) {
	l := none(t)
	put(t, l, 5, room, 1, 1, 10, math.MaxInt64)
	if _, ok := l.Get(1<<62, l.Key("1")); !ok {
		t.Error("it has expired")
	}
}

// Who asks for too much is refused, and costs nobody anything.
func TestNobodyIsEvictedForNothing(t *testing.T) {
	l := none(t)
	for i := range 100 {
		put(t, l, 0, 256<<10, i, 1, 500, second)
	}
	if put(t, l, 0, 256<<10, -1, memlog.Kept, 256<<10, second) || l.Len() != 100 {
		t.Errorf("%d of 100 are left", l.Len())
	}
}

func TestToFindAnEntryAllocatesNothing(t *testing.T) {
	l := none(t)
	put(t, l, 0, room, 1, 1, 500, second)
	if n := testing.AllocsPerRun(100, func() { l.Get(0, l.Key("1")) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Who asks for too much by less than what an entry takes beside its value is
// refused, too, and costs nobody anything.
func TestNobodyIsEvictedForAlmostNothing(t *testing.T) {
	const limit = 256 << 10
	for short := 0; short < 60_000; short += 97 {
		evicted := 0
		l := memlog.New(func(memlog.Key, []byte) { evicted++ })
		for i := range 100 {
			put(t, l, 0, limit, i, 1, 500, second)
		}
		if !put(t, l, 0, limit, -1, memlog.Kept, limit-32-short, second) && evicted > 0 {
			t.Errorf("%d of 100 were evicted for one of %d bytes that was refused, with a limit of %d", evicted, limit-32-short, limit)
		}
	}
}

// The same with entries of the usual size, when what is kept fills the memory.
func TestARefusalEvictsNobody(t *testing.T) {
	const limit = 64 << 20
	evicted := 0
	l := memlog.New(func(memlog.Key, []byte) { evicted++ })
	for i := range 90_000 {
		put(t, l, 0, limit, i, 1, 700, second)
	}
	worst, refusals := 0, 0
	for i := range 120_000 {
		before := evicted
		if !put(t, l, 0, limit, -1-i, memlog.Kept, 500, second) {
			refusals++
			worst = max(worst, evicted-before)
		}
	}
	if worst > 0 {
		t.Errorf("a refused write evicted %d (%d refusals)", worst, refusals)
	}
}
