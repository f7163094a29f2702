package tokencache

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
)

// traces remembers which refresh tokens this process has seen exchanged or
// ended, so that asking for any other one costs neither keys nor I/O. It holds
// fingerprints and no token, and takes 512 KiB once it holds the first.
//
// It is lossy: a new trace displaces the oldest of its bucket. Of the last
// 32,768 tokens it knows more than 99 in 100, of the last 65,536 six in seven.
// What was lost is looked up no more: its successor is delivered, or its end
// noticed, at the next refresh. A fingerprint that two tokens share, or that
// outlives its entry, costs one read of the Store.
type traces struct {
	mu    sync.Mutex // of the writers
	table atomic.Pointer[traceTable]
}

const (
	traceBuckets = 1 << 13
	traceWays    = 8 // a cache line
)

type traceTable struct {
	buckets [traceBuckets][traceWays]atomic.Uint64 // 0: free
	seed    maphash.Seed
}

// replaced notes that at has a successor. Where the refresh token stays the
// same, the trace is that of the pair: whoever shows the newest one is not to
// be troubled.
func (s *traces) replaced(at, next Token) {
	switch {
	case at.Refresh() != next.Refresh():
		s.add(at, (*traceTable).single)
	case at.Access() != next.Access():
		s.add(at, (*traceTable).pair)
	}
}

// ended notes that the session of at is over.
func (s *traces) ended(at Token) { s.add(at, (*traceTable).single) }

// has reports whether t may have a successor, or an end. It does not allocate.
func (s *traces) has(t Token) bool {
	table := s.table.Load()
	if table == nil || t.Refresh() == "" {
		return false
	}
	single := table.single(t)
	return table.holds(single) || table.holds(table.with(single, t))
}

func (s *traces) add(t Token, trace func(*traceTable, Token) uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	table := s.table.Load()
	if table == nil {
		table = &traceTable{seed: maphash.MakeSeed()}
		s.table.Store(table)
	}
	if v := trace(table, t); !table.holds(v) {
		table.insert(v)
	}
}

// single is the trace of a refresh token, whatever comes with it.
func (t *traceTable) single(of Token) uint64 {
	return max(1, maphash.String(t.seed, of.Refresh()))
}

// pair is the trace of a refresh token together with an access token.
func (t *traceTable) pair(of Token) uint64 {
	return t.with(t.single(of), of)
}

func (t *traceTable) with(single uint64, of Token) uint64 {
	return max(1, bits.RotateLeft64(single, 32)^maphash.String(t.seed, of.Access()))
}

// holds reads in the direction in which insert moves, so that it misses nothing
// that stays.
func (t *traceTable) holds(trace uint64) bool {
	bucket := &t.buckets[trace%traceBuckets]
	for i := range bucket {
		if bucket[i].Load() == trace {
			return true
		}
	}
	return false
}

// insert displaces the oldest of the bucket.
func (t *traceTable) insert(trace uint64) {
	bucket := &t.buckets[trace%traceBuckets]
	for i := len(bucket) - 1; i > 0; i-- {
		bucket[i].Store(bucket[i-1].Load())
	}
	bucket[0].Store(trace)
}
