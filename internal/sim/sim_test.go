package sim_test

import (
	"flag"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/leak"
)

var (
	flagN    = flag.Int("sim.n", 0, "how many schedules; 0: 3000, or 300 with the race detector")
	flagFor  = flag.Duration("sim.for", 0, "stop after that time")
	flagFrom = flag.Uint64("sim.from", 1, "the first seed")
	flagAll  = flag.Bool("sim.all", false, "go on after a broken promise")
	flagSeed = flag.Uint64("sim.seed", 0, "run this seed alone")
)

func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(1)
	if *flagN == 0 && raced {
		*flagN = 300
	} else if *flagN == 0 {
		*flagN = 3000
	}
	leak.Main(m)
}

// runSeed runs one schedule without a collection of garbage in its midst, which
// would be in it as another fault.
func runSeed(t *testing.T, seed uint64, skip map[int]bool, quiet bool) result {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	return simulate(t, seed, skip, quiet)
}

func TestNoScheduleBreaksAPromise(t *testing.T) {
	if *flagSeed != 0 {
		r := runSeed(t, *flagSeed, nil, false)
		t.Log(strings.Join(r.trace, "\n"))
		if len(r.failures) > 0 {
			t.Errorf("seed %d:\n\t%s\nfaults:\n\t%s", *flagSeed, strings.Join(r.failures, "\n\t"), strings.Join(r.faults, "\n\t"))
		}
		return
	}
	start := time.Now()
	counts, steps, presentations, n := map[string]int{}, 0, 0, 0
	for i := range *flagN {
		if *flagFor > 0 && time.Since(start) > *flagFor {
			break
		}
		n++
		seed := *flagFrom + uint64(i)
		r := runSeed(t, seed, nil, !raced) // what is wrong will be again, and is written down then
		steps += r.steps
		presentations += r.presentations
		for k, n := range r.counts {
			counts[k] += n
		}
		if len(r.failures) > 0 {
			report(t, seed, r)
			t.Logf("schedule %d of %d broke a promise: -sim.seed %d", i+1, *flagN, seed)
			if !*flagAll {
				return
			}
		}
		if i%40 == 39 {
			runtime.GC()
		}
	}
	took := time.Since(start)
	t.Logf("%d schedules from seed %d, %d steps, %d presentations, %v, %.0f schedules a second", n, *flagFrom, steps, presentations,
		took.Round(100*time.Millisecond), float64(n)/took.Seconds())
	if testing.Verbose() {
		table(counts)
	}
}

// report prints a broken promise, and how it came to that with as few faults as it
// takes.
func report(t *testing.T, seed uint64, r result) {
	if len(r.failures) == 0 {
		return
	}
	for range 5 {
		if again := runSeed(t, seed, nil, false); len(again.failures) > 0 {
			r = again
			break
		}
	}
	r = shrink(t, seed, r)
	t.Errorf("seed %d:\n\t%s\nfaults:\n\t%s", seed, strings.Join(r.failures, "\n\t"), strings.Join(r.faults, "\n\t"))
	if !*flagAll {
		t.Log("all that happened:\n" + strings.Join(r.trace, "\n"))
	}
}

// shrink leaves out what faults it can. Without one of them all that comes after it
// is another schedule, so that it may not get far.
func shrink(t *testing.T, seed uint64, r result) result {
	skip := map[int]bool{}
	for _, n := range slices.Backward(r.numbers) {
		skip[n] = true
		if less := runSeed(t, seed, skip, false); len(less.failures) > 0 {
			r = less
		} else {
			delete(skip, n)
		}
	}
	return r
}

// Of timers that end at one moment a bubble does not say which comes first, so that a
// few seeds have more than one schedule. Each comes again.
func TestTheSameSeedIsTheSameSchedule(t *testing.T) {
	if raced {
		t.Skip("the race detector shuffles goroutines")
	}
	var traces [][]string
	same := func(a []string) bool {
		return slices.ContainsFunc(traces, func(b []string) bool { return slices.Equal(a, b) })
	}
	several := 0
	for seed := uint64(1); seed <= 50; seed++ {
		traces = nil
		a := runSeed(t, seed, nil, false).trace
		for ; !same(a) && len(traces) < 6; a = runSeed(t, seed, nil, false).trace {
			traces = append(traces, a)
		}
		if len(traces) > 1 {
			several++
		}
		if len(traces) == 6 {
			t.Errorf("seed %d has not been the same twice", seed)
		}
	}
	if several > 5 {
		t.Errorf("%d seeds of 50 have several schedules", several)
	}
}
