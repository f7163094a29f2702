//go:build unix

package faults

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strings"
)

// held is what a replica holds. Two things grow by design, up to a bound: what
// is remembered of access tokens that verified (16,384 of them), and what was
// exchanged (64 MiB). They are told apart by who allocated them, so that the rest
// can be compared.
type held struct {
	HeapInuse  int64 // after a collection
	Verified   int64 // sampled
	Exchanged  int64 // sampled
	Rest       int64 // HeapAlloc without these two
	Goroutines int
	Did        deeds
}

// cells are the columns of the report.
func (h held) cells() string {
	mb := func(n int64) float64 { return float64(n) / (1 << 20) }
	return fmt.Sprintf("%.1f MB | %.1f MB | %.1f MB | %.1f MB | %d", mb(h.HeapInuse), mb(h.Verified), mb(h.Exchanged), mb(h.Rest), h.Goroutines)
}

// figures tells what is held, when nothing is in flight.
func (b *bff) figures(w http.ResponseWriter, r *http.Request) {
	b.base.CloseIdleConnections()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h := held{HeapInuse: int64(m.HeapInuse), Goroutines: runtime.NumGoroutine(), Did: b.did.read()}
	h.Verified, h.Exchanged = b.sampled()
	h.Rest = int64(m.HeapAlloc) - h.Verified - h.Exchanged
	if r.FormValue("stacks") != "" {
		pprof.Lookup("goroutine").WriteTo(w, 1)
		return
	}
	json.NewEncoder(w).Encode(h)
}

// sampled returns how many bytes are in use for the two that grow.
func (b *bff) sampled() (verified, exchanged int64) {
	records := make([]runtime.MemProfileRecord, 4096)
	n, ok := runtime.MemProfile(records, false)
	for !ok {
		records = make([]runtime.MemProfileRecord, 2*n)
		n, ok = runtime.MemProfile(records, false)
	}
	for _, rec := range records[:n] {
		by := allocator(rec.Stack())
		switch {
		case strings.Contains(by, "internal/memlog"), strings.Contains(by, "MemoryStore"):
			exchanged += unsampled(rec)
		case strings.Contains(by, "middleware.(*Authenticator).look"), strings.Contains(by, "middleware.(*Authenticator).pair"),
			strings.Contains(by, "middleware.(*verifiedTokens)"):
			verified += unsampled(rec)
		}
	}
	return verified, exchanged
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

// allocator names the functions on the way to an allocation.
func allocator(stack []uintptr) string {
	var b strings.Builder
	for frames := runtime.CallersFrames(stack); ; {
		f, more := frames.Next()
		b.WriteString(f.Function + "\n")
		if !more {
			return b.String()
		}
	}
}
