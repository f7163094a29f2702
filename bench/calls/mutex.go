package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
)

// contention is how long goroutines have waited for locks, in seconds, by the
// function that has given the lock back at last, which is what the profile tells:
// the innermost one that is not of the runtime or of sync.
type contention map[string]float64

// contentionOf returns what the mutex profile shows of a run, with each wait in it.
func contentionOf(run func() error) (contention, error) {
	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	before := locks()
	err := run()
	after := locks()
	for name, seconds := range before {
		if after[name] -= seconds; after[name] == 0 {
			delete(after, name)
		}
	}
	return after, err
}

func locks() contention {
	records := make([]runtime.BlockProfileRecord, 1000)
	n, ok := runtime.MutexProfile(records)
	for !ok {
		records = make([]runtime.BlockProfileRecord, n+1000)
		n, ok = runtime.MutexProfile(records)
	}
	out := contention{}
	for _, r := range records[:n] {
		out[locker(r.Stack())] += float64(r.Cycles) / cyclesPerSecond
	}
	return out
}

// locker returns who has had the lock. Those of the runtime are "the runtime".
func locker(stack []uintptr) string {
	frames := runtime.CallersFrames(stack)
	for {
		f, more := frames.Next()
		switch pkg := packageOf(f.Function); {
		case pkg == "runtime" && strings.HasPrefix(f.Function, "runtime._") || pkg == "runtime" && strings.Contains(f.Function, "unlock"):
			return "the runtime"
		case pkg == "sync" || pkg == "internal/sync" || pkg == "runtime":
		default:
			return f.Function
		}
		if !more {
			return "the runtime"
		}
	}
}

// packageOf returns the import path of a function such as
// "example.com/a/b.(*T).Method".
func packageOf(function string) string {
	slash := strings.LastIndexByte(function, '/') + 1
	name, _, _ := strings.Cut(function[slash:], ".")
	return function[:slash] + name
}

// ours reports whether a function is of rebearer, and not of its bench.
func ours(function string) bool {
	pkg := packageOf(function)
	return strings.HasPrefix(pkg, "github.com/rebearer/rebearer/") && !strings.HasPrefix(pkg, "github.com/rebearer/rebearer/bench/")
}

// cyclesPerSecond is the unit of the profile, which says so only in its text.
var cyclesPerSecond = func() float64 {
	var text bytes.Buffer
	pprof.Lookup("mutex").WriteTo(&text, 1)
	_, rest, _ := strings.Cut(text.String(), "cycles/second=")
	perSecond := 0.0
	if _, err := fmt.Sscan(rest, &perSecond); err != nil {
		panic(err)
	}
	return perSecond
}()

func (r *result) lockTable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "One more turn with each wait for a lock in the mutex profile:\n\n| contender | waited, s | in rebearer's functions, s | most of it in |\n|---|---|---|---|\n")
	for _, name := range r.names {
		all := r.locks[name]
		total, own := 0.0, 0.0
		for function, seconds := range all {
			total += seconds
			if ours(function) {
				own += seconds
			}
		}
		most := slices.SortedFunc(maps.Keys(all), func(a, b string) int { return cmp.Compare(all[b], all[a]) })
		fmt.Fprintf(&b, "| %s | %.6f | %.6f | %s |\n", name, total, own, strings.Join(most[:min(2, len(most))], ", "))
	}
	return b.String()
}
