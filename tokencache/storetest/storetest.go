// Package storetest holds what every [tokencache.Store] must do, as tests.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) tokencache.Store { return mystore.New(…) })
//	}
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

const (
	long  = time.Minute            // a time to live that no test sees the end of
	short = 100 * time.Millisecond // one that they do
	soon  = 5 * time.Second        // within which what must happen has happened
)

// Run proves a Store. It calls open for each of its subtests; Stores on one
// server may share it, as every subtest uses keys of its own.
func Run(t *testing.T, open func(t *testing.T) tokencache.Store) {
	for _, c := range []struct {
		sentence string
		test     func(*store)
	}{
		{"nothing is there at first", nothing},
		{"what was written is read", written},
		{"a swap from another version changes nothing", stale},
		{"a version never comes back", versions},
		{"nil deletes", deletes},
		{"an empty value is a value", empty},
		{"an entry ends with its time to live", expires},
		{"a swap gives it a new one", extends},
		{"keys do not interfere", keys},
		{"values are copied", copied},
		{"any bytes are kept", binary},
		{"of concurrent swaps one wins", races},
		{"Wait returns at once if the version differs already", waitsNot},
		{"Wait wakes when the entry changes", waitsForChange},
		{"Wait wakes when the entry appears", waitsForBirth},
		{"Wait wakes when the entry is deleted", waitsForDelete},
		{"Wait wakes when the entry expires", waitsForExpiry},
		{"Wait wakes everybody", wakesAll},
		{"Wait ends with its context", waitEnds},
		{"nothing is done for a context that has ended", cancelled},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 6*soon)
			defer cancel()
			c.test(&store{T: t, Store: open(t), ctx: ctx, key: "storetest-" + rand.Text()})
		})
	}
}

// store is a Store under test, whose methods fail the test on errors.
type store struct {
	*testing.T
	tokencache.Store
	ctx    context.Context
	key    string
	server Server // if it is shared
}

func (s *store) load(key string) tokencache.Entry {
	s.Helper()
	e, err := s.Load(s.ctx, key)
	if err != nil {
		s.Fatalf("Load: %v", err)
	}
	if (e.Version == "") != (e.Value == nil) {
		s.Fatalf("Load: version %q with value %q", e.Version, e.Value)
	}
	return e
}

func (s *store) swap(old, value string, ttl time.Duration) (tokencache.Entry, bool) {
	s.Helper()
	now, ok, err := s.Swap(s.ctx, s.key, old, []byte(value), ttl)
	if err != nil {
		s.Fatalf("Swap: %v", err)
	}
	return now, ok
}

// must swaps, and fails the test unless the value is there then.
func (s *store) must(old, value string, ttl time.Duration) tokencache.Entry {
	s.Helper()
	now, ok := s.swap(old, value, ttl)
	if !ok || now.Version == "" || now.Version == old || string(now.Value) != value {
		s.Fatalf("Swap from version %q returned %v, %q in version %q", old, ok, now.Value, now.Version)
	}
	return now
}

func (s *store) delete(old string) {
	s.Helper()
	now, ok, err := s.Swap(s.ctx, s.key, old, nil, long)
	if err != nil || !ok || now.Version != "" {
		s.Fatalf("Swap to nil returned %v, version %q, %v", ok, now.Version, err)
	}
}

// holds fails the test unless that is what is under the key.
func (s *store) holds(value, version string) {
	s.Helper()
	if e := s.load(s.key); string(e.Value) != value || e.Version != version {
		s.Errorf("Load returned %q in version %q, want %q in %q", e.Value, e.Version, value, version)
	}
}

// wait waits until the version differs from old. Wait may return early.
func (s *store) wait(old string) (tokencache.Entry, error) {
	ctx, cancel := context.WithTimeout(s.ctx, soon)
	defer cancel()
	for {
		e, err := s.Wait(ctx, s.key, old)
		if err != nil || e.Version != old {
			return e, err
		}
	}
}

func nothing(s *store) {
	s.holds("", "")
	if now, ok := s.swap("some version", "v", long); ok || now.Version != "" {
		s.Errorf("a swap from a version of nothing returned %v, %q", ok, now.Version)
	}
	s.holds("", "")
}

func written(s *store) {
	one := s.must("", "one", long)
	s.holds("one", one.Version)
	two := s.must(one.Version, "two", long)
	s.holds("two", two.Version)
}

func stale(s *store) {
	one := s.must("", "one", long)
	two := s.must(one.Version, "two", long)
	for _, old := range []string{"", one.Version, two.Version + "x"} {
		if now, ok := s.swap(old, "three", long); ok || now.Version != two.Version || string(now.Value) != "two" {
			s.Errorf("from version %q: %v, %q in version %q", old, ok, now.Value, now.Version)
		}
		if now, ok, err := s.Swap(s.ctx, s.key, old, nil, long); ok || err != nil || now.Version != two.Version {
			s.Errorf("deleted from version %q: %v, version %q, %v", old, ok, now.Version, err)
		}
	}
	s.holds("two", two.Version)
}

func versions(s *store) {
	seen := map[string]bool{}
	fresh := func(e tokencache.Entry) string {
		s.Helper()
		if seen[e.Version] {
			s.Fatalf("version %q came back", e.Version)
		}
		seen[e.Version] = true
		return e.Version
	}
	for range 10 {
		v := fresh(s.must("", "same", long))
		v = fresh(s.must(v, "same", long))
		s.delete(v)
	}
	fresh(s.must("", "same", short))
	time.Sleep(2 * short)
	fresh(s.must("", "same", long))
}

func deletes(s *store) {
	one := s.must("", "one", long)
	s.delete(one.Version)
	s.holds("", "")
	s.delete("") // what is not there
	s.must("", "two", long)
}

func empty(s *store) {
	now, ok, err := s.Swap(s.ctx, s.key, "", []byte{}, long)
	if err != nil || !ok || now.Version == "" {
		s.Fatalf("Swap returned %v, version %q, %v", ok, now.Version, err)
	}
	if e, err := s.Load(s.ctx, s.key); err != nil || e.Version != now.Version || len(e.Value) != 0 {
		s.Errorf("Load returned %q in version %q, %v", e.Value, e.Version, err)
	}
}

func expires(s *store) {
	one := s.must("", "one", short)
	time.Sleep(2 * short)
	s.holds("", "")
	if now, ok := s.swap(one.Version, "two", long); ok || now.Version != "" {
		s.Errorf("a swap from the expired version returned %v, version %q", ok, now.Version)
	}
	s.must("", "three", long)
}

func extends(s *store) {
	one := s.must("", "one", short)
	two := s.must(one.Version, "two", long)
	time.Sleep(2 * short)
	s.holds("two", two.Version)
	s.must(two.Version, "three", short)
	time.Sleep(2 * short)
	s.holds("", "")
}

func keys(s *store) {
	one := s.must("", "one", long)
	key := s.key
	for _, other := range []string{key + "x", key[1:], key + "\x00", key + ":" + key} {
		s.key = other
		s.holds("", "")
		s.delete(s.must("", "other", long).Version)
	}
	s.key = key
	s.holds("one", one.Version)
}

func copied(s *store) {
	given := []byte("one")
	now, _, err := s.Swap(s.ctx, s.key, "", given, long)
	if err != nil {
		s.Fatal(err)
	}
	copy(given, "xxx")
	s.holds("one", now.Version)
	copy(now.Value, "yyy")
	s.holds("one", now.Version)
	e := s.load(s.key)
	copy(e.Value, "zzz")
	s.holds("one", now.Version)
}

func binary(s *store) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	version := ""
	for _, value := range [][]byte{every, []byte("\r\n$-1\r\n"), {0}, bytes.Repeat(every, 256)} { // up to 64 KiB
		version = s.must(version, string(value), long).Version
		s.holds(string(value), version)
	}
}

func races(s *store) {
	const rounds, runners = 10, 16
	version := ""
	for range rounds {
		var won atomic.Int32
		var lost, winner sync.Map
		var all sync.WaitGroup
		for i := range runners {
			all.Go(func() {
				value := string(rune('a' + i))
				now, ok, err := s.Swap(s.ctx, s.key, version, []byte(value), long)
				switch {
				case err != nil:
					s.Error(err)
				case ok:
					won.Add(1)
					winner.Store(now.Version, value)
				default:
					lost.Store(now.Version, string(now.Value))
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			s.Fatalf("%d of %d won", won.Load(), runners)
		}
		now := s.load(s.key)
		if _, ok := winner.Load(now.Version); !ok {
			s.Fatalf("version %q is nobody's", now.Version)
		}
		lost.Range(func(v, value any) bool {
			if v != now.Version || value != string(now.Value) {
				s.Errorf("a loser was shown %q in version %q", value, v)
			}
			return true
		})
		version = now.Version
	}
}
