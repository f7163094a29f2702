package memlog_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/rebearer/rebearer/internal/memlog"
)

const second = 1e9

var (
	classes = []memlog.Class{0, 1, memlog.Kept}
	ttls    = []int64{1, second, 1.5 * second, 60 * second, 100 * second, 3600 * second}
)

// known is an entry as the model has it.
type known struct {
	value   []byte
	version uint64
	expires int64
	class   memlog.Class
	span    int // of ttls
}

// model does with a map what a Log does, and checks each eviction.
type model struct {
	*testing.T
	*rand.Rand
	log     *memlog.Log
	limit   int64
	sizes   int
	now     int64
	keys    []string
	entries map[memlog.Key]known
	gone    map[[2]int]uint64 // the newest version evicted of a class and time to live
	evicted int
}

func newModel(t *testing.T, seed uint64, limit int64, keys, sizes int) *model {
	m := &model{
		T: t, Rand: rand.New(rand.NewPCG(seed, 1)), limit: limit, sizes: sizes,
		entries: map[memlog.Key]known{}, gone: map[[2]int]uint64{},
	}
	m.log = memlog.New(m.lost)
	for i := range keys {
		m.keys = append(m.keys, fmt.Sprint("key ", i))
	}
	return m
}

func (m *model) lost(key memlog.Key, value []byte) {
	e, ok := m.entries[key]
	switch {
	case !ok || e.expires <= m.now || !bytes.Equal(e.value, value):
		m.Fatal("what is evicted was not there")
	case e.class == memlog.Kept:
		m.Fatal("what is kept was evicted")
	}
	delete(m.entries, key)
	m.evicted++
	at := [2]int{int(e.class), e.span}
	m.gone[at] = max(m.gone[at], e.version)
	for _, other := range m.entries {
		if other.class < e.class && other.expires > m.now {
			m.Fatalf("one of class %d was evicted before one of class %d", e.class, other.class)
		}
	}
}

// check compares an entry, and looks at what is true after every step.
func (m *model) check(key memlog.Key, allowed int64) {
	m.Helper()
	got, ok := m.log.Get(m.now, key)
	want, alive := m.entries[key]
	if alive && want.expires <= m.now {
		alive = false
		delete(m.entries, key)
	}
	if ok != alive || ok && (!bytes.Equal(got.Value, want.value) || got.Version != want.version || got.Expires != want.expires) {
		m.Fatalf("Get: %v, version %d; want %v, version %d", ok, got.Version, alive, want.version)
	}
	if held := m.log.Held(); held > max(m.limit, allowed) {
		m.Fatalf("%d bytes are held, of %d", held, m.limit)
	}
}

func (m *model) put(key memlog.Key) {
	span := m.IntN(len(ttls))
	e := known{class: classes[m.IntN(3)], span: span, value: m.value(), expires: m.now + ttls[span]}
	was, replaces := m.entries[key]
	replaces = replaces && was.expires > m.now
	delete(m.entries, key) // it is not evicted
	before, ok := m.log.Held(), false
	if e.version, ok = m.log.Put(m.now, m.limit, key, e.class, e.value, ttls[span]); ok {
		m.entries[key] = e
	} else {
		m.refused(replaces, len(e.value))
	}
	allowed := before // by a write before
	if replaces {
		allowed += int64(len(e.value)) + 12<<10
		for other, o := range m.entries {
			if m.log.Held() > m.limit && o.class != memlog.Kept && o.expires > m.now && other != key {
				m.Fatal("it is too much, and not all was evicted that may be")
			}
		}
	}
	m.check(key, allowed)
	for _, o := range m.entries {
		if o.expires > m.now && o.version < m.gone[[2]int{int(o.class), o.span}] {
			m.Fatal("an older one stayed")
		}
	}
}

// refused checks that there was a reason to.
func (m *model) refused(replaces bool, size int) {
	if replaces {
		m.Fatal("an entry that is there could not be replaced")
	}
	kept := int64(0)
	for _, e := range m.entries {
		if e.class == memlog.Kept {
			kept += int64(len(e.value)) + 300
		} else if e.expires > m.now {
			kept += m.limit / 100 // may have stayed if there was no hope
		}
	}
	if 3*kept+2*int64(size) < m.limit-4096 {
		m.Fatalf("refused %d bytes with %d kept of %d", size, kept, m.limit)
	}
}

func (m *model) value() []byte {
	n := m.IntN(m.sizes)
	if m.IntN(20) == 0 {
		n = m.IntN(200 << 10)
	}
	v := make([]byte, n)
	for i := 0; i < n; i += 64 {
		v[i] = byte(m.IntN(256))
	}
	return v
}

func (m *model) step() {
	key := m.log.Key(m.keys[m.IntN(len(m.keys))])
	switch n := m.IntN(20); {
	case n < 12:
		m.put(key)
	case n < 15:
		before := m.log.Held()
		m.log.Delete(m.now, key)
		delete(m.entries, key)
		if m.check(key, before); m.log.Held() > before {
			m.Fatalf("%d bytes are held, and %d before one was deleted", m.log.Held(), before)
		}
	case n < 19:
		m.check(key, m.log.Held())
	default:
		m.now += []int64{1, second / 2, 30 * second, 1800 * second}[m.IntN(4)]
	}
}

// B28: a Log does what a map would, but for what it has to evict.
func TestALogDoesWhatAMapDoes(t *testing.T) {
	for name, row := range map[string]struct {
		limit       int64
		keys, sizes int
	}{
		"with room for nothing":       {100, 20, 200},
		"with room for three":         {2000, 20, 500},
		"in a little memory":          {64 << 10, 200, 1000},
		"with large values":           {1 << 20, 100, 100 << 10},
		"with short ones":             {200 << 10, 5000, 30},
		"in enough memory":            {64 << 20, 300, 2000},
		"with chunks of many entries": {16 << 20, 3000, 300},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			evicted := 0
			for seed := range uint64(4) {
				m := newModel(t, seed, row.limit, row.keys, row.sizes)
				for i := range 2000 {
					m.step()
					if i%25 == 0 {
						if err := m.log.Audit(); err != nil {
							t.Fatalf("seed %d, step %d: %v", seed, i, err)
						}
					}
				}
				for _, key := range m.keys {
					m.check(m.log.Key(key), m.log.Held())
				}
				evicted += m.evicted
			}
			if (evicted > 0) != (row.limit < 16<<20) && row.limit > 100 {
				t.Errorf("%d were evicted", evicted)
			}
		})
	}
}
