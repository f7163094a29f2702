//go:build unix

package faults

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
)

// held is what a replica holds. Three things grow by design, up to a bound: what
// is remembered of access tokens that verified (16,384 of them), what was
// exchanged (64 MiB), and what the runtime keeps of goroutines that have ended
// (as many as there ever were at once). They are told apart by who allocated
// them, so that the rest can be compared.
type held struct {
	HeapInuse int64 // after a collection
	Verified  int64 // sampled, as the next two
	Exchanged int64
	Runtime   int64
	Rest      int64 // HeapAlloc without these three
	// Of is Rest by who allocated it, sampled.
	Of         map[string]int64
	Goroutines int
	Files      int // open, where the system tells; else 0
	Did        deeds
}

// cells are the columns of the report.
func (h held) cells() string {
	mb := func(n int64) float64 { return float64(n) / (1 << 20) }
	return fmt.Sprintf("%.1f MB | %.1f MB | %.1f MB | %.1f MB | %.1f MB | %d | %d", mb(h.HeapInuse), mb(h.Verified), mb(h.Exchanged), mb(h.Runtime), mb(h.Rest), h.Goroutines, h.Files)
}

// figures tells what is held, when nothing is in flight.
func (b *bff) figures(w http.ResponseWriter, r *http.Request) {
	b.base.CloseIdleConnections()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h := held{HeapInuse: int64(m.HeapInuse), Goroutines: runtime.NumGoroutine(), Did: b.did.read()}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		h.Files = len(files)
	}
	h.sample()
	h.Rest = int64(m.HeapAlloc) - h.Verified - h.Exchanged - h.Runtime
	if r.FormValue("stacks") != "" {
		pprof.Lookup("goroutine").WriteTo(w, 1)
		return
	}
	json.NewEncoder(w).Encode(h)
}

// sample tells who has allocated what is in use.
func (h *held) sample() {
	records := make([]runtime.MemProfileRecord, 4096)
	n, ok := runtime.MemProfile(records, false)
	for !ok {
		records = make([]runtime.MemProfileRecord, 2*n)
		n, ok = runtime.MemProfile(records, false)
	}
	h.Of = map[string]int64{}
	for _, rec := range records[:n] {
		by := allocator(rec.Stack())
		switch bytes := unsampled(rec); {
		case slices.ContainsFunc(by, called("internal/memlog", "MemoryStore")):
			h.Exchanged += bytes
		case slices.ContainsFunc(by, called("middleware.(*Authenticator).look", "middleware.(*Authenticator).pair", "middleware.(*verifiedTokens)", "tokencache.Token.id")):
			h.Verified += bytes
		case len(slices.DeleteFunc(slices.Clone(by), ofRuntime)) == 0:
			h.Runtime += bytes
		case bytes > 0:
			h.Of[inBrief(by)] += bytes
		}
	}
}

// called reports whether a function has one of these names in its own.
func called(names ...string) func(string) bool {
	return func(function string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.Contains(function, name) })
	}
}

func ofRuntime(function string) bool {
	return strings.HasPrefix(function, "runtime.") || strings.HasPrefix(function, "internal/runtime/")
}

// inBrief names who allocated something: the innermost function, and the one of
// ours that led there.
func inBrief(by []string) string {
	by = slices.DeleteFunc(by, ofRuntime)
	if i := slices.IndexFunc(by, called("rebearer")); i > 0 {
		return by[0] + " of " + by[i]
	}
	return by[0]
}

// grown returns what has grown most, with how much.
func grown(before, after held) (names []string, by map[string]int64) {
	by = maps.Clone(after.Of)
	for name, n := range before.Of {
		by[name] -= n
	}
	names = slices.SortedFunc(maps.Keys(by), func(a, b string) int { return cmp.Compare(by[b], by[a]) })
	return names[:min(len(names), 6)], by
}

// unsampled estimates what a sample stands for: large pieces are always in it.
func unsampled(rec runtime.MemProfileRecord) int64 {
	if rec.InUseObjects() == 0 {
		return 0
	}
	size := float64(rec.InUseBytes()) / float64(rec.InUseObjects())
	p := -math.Expm1(-size / float64(runtime.MemProfileRate))
	return int64(float64(rec.InUseBytes()) / p)
}

// allocator names the functions on the way to an allocation, innermost first.
func allocator(stack []uintptr) (names []string) {
	for frames := runtime.CallersFrames(stack); ; {
		f, more := frames.Next()
		names = append(names, f.Function)
		if !more {
			return names
		}
	}
}
