package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

func waitsNot(s *store) {
	one := s.must("", "one", long)
	for _, old := range []string{"", one.Version + "x"} {
		if e, err := s.wait(old); err != nil || e.Version != one.Version || string(e.Value) != "one" {
			s.Errorf("from %q: %q in version %q, %v", old, e.Value, e.Version, err)
		}
	}
}

// wakes waits for the version to differ from old, while the value is written a
// little later.
func (s *store) wakes(old string, value []byte) tokencache.Entry {
	s.Helper()
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() {
		time.Sleep(short / 2)
		if _, ok, err := s.Swap(s.ctx, s.key, old, value, long); !ok || err != nil {
			s.Errorf("Swap returned %v, %v", ok, err)
		}
	})
	e, err := s.wait(old)
	if err != nil {
		s.Errorf("Wait: %v", err)
	}
	return e
}

func waitsForChange(s *store) {
	one := s.must("", "one", long)
	if e := s.wakes(one.Version, []byte("two")); string(e.Value) != "two" {
		s.Errorf("Wait returned %q", e.Value)
	}
}

func waitsForBirth(s *store) {
	if e := s.wakes("", []byte("one")); string(e.Value) != "one" {
		s.Errorf("Wait returned %q", e.Value)
	}
}

func waitsForDelete(s *store) {
	one := s.must("", "one", long)
	if e := s.wakes(one.Version, nil); e.Version != "" || e.Value != nil {
		s.Errorf("Wait returned %q in version %q", e.Value, e.Version)
	}
}

func waitsForExpiry(s *store) {
	one := s.must("", "one", 2*short)
	if e, err := s.wait(one.Version); err != nil || e.Version != "" || e.Value != nil {
		s.Errorf("Wait returned %q in version %q, %v", e.Value, e.Version, err)
	}
}

func wakesAll(s *store) {
	one := s.must("", "one", long)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if e, err := s.wait(one.Version); err != nil || string(e.Value) != "two" {
				s.Errorf("Wait returned %q, %v", e.Value, err)
			}
		})
	}
	s.wakes(one.Version, []byte("two"))
	all.Wait()
}

func waitEnds(s *store) {
	one := s.must("", "one", long)
	ctx, cancel := context.WithTimeout(s.ctx, short)
	defer cancel()
	began := time.Now()
	for {
		e, err := s.Wait(ctx, s.key, one.Version)
		if err == nil && e.Version == one.Version && ctx.Err() == nil {
			continue // early
		}
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > soon {
			s.Errorf("Wait returned version %q, %v after %v", e.Version, err, time.Since(began))
		}
		return
	}
}

func cancelled(s *store) {
	one := s.must("", "one", long)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	began := time.Now()
	if _, err := s.Load(ctx, s.key); err == nil {
		s.Error("Load returned no error")
	}
	if _, ok, err := s.Swap(ctx, s.key, one.Version, []byte("two"), long); err == nil || ok {
		s.Errorf("Swap returned %v, %v", ok, err)
	}
	if _, err := s.Wait(ctx, s.key, one.Version); err == nil {
		s.Error("Wait returned no error")
	}
	if took := time.Since(began); took > soon {
		s.Errorf("took %v", took)
	}
	s.holds("one", one.Version)
}
