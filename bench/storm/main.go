//go:build unix

// Storm measures what happens when many requests of one user meet a 401 at the
// same time, with rebearer and with what one would take instead. See
// ../README.md.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

func main() {
	if os.Getenv(variable) != "" {
		serve()
		return
	}
	p, err := parse(os.Args[1:])
	if err == nil {
		err = profiled(p.cpu, func() error { return report(os.Stdout, p) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// profiled writes a CPU profile of what f does, if a path is given.
func profiled(path string, f func() error) error {
	if path == "" {
		return f()
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return f()
}

// plan says what is measured.
type plan struct {
	sizes    []int
	shapes   []string
	rounds   int
	losers   int           // rounds of those whose callers fail
	node     int           // rounds of each contender in Node
	refresh  time.Duration // what the authorization server takes
	patience time.Duration // after which callers give up
	waiters  int           // of the dead session, of the refresh ahead and of the cost
	only     []string      // contenders, by the beginnings of their names
	parts    string
	plots    string // the folder that plots are written to
	profile  string // a heap profile of rebearer's callers while all wait
	cpu      string // a CPU profile of all that is done here
	verbose  bool
}

func parse(args []string) (p plan, err error) {
	f := flag.NewFlagSet("storm", flag.ExitOnError)
	sizes := f.String("n", "100,1000,10000", "how many requests a storm has")
	shapes := f.String("shapes", "at once,spread,late,known expiry", "how they come")
	only := f.String("only", "", "contenders that take part, by the beginnings of their names, separated by commas; all if empty")
	f.IntVar(&p.rounds, "rounds", 6, "rounds of each contender in each setting, beside one of 100 requests to warm up; all take turns, and each begins as often as the others")
	f.IntVar(&p.losers, "losers", 2, "rounds of those who leave callers without an answer, and half of it with 10,000 requests")
	f.IntVar(&p.node, "node", 6, "rounds of each contender in Node; 0 for none. From 1,000 requests on they come at once only, and 10,000 in at most 2 rounds")
	f.DurationVar(&p.refresh, "refresh", 50*time.Millisecond, "how long the authorization server takes")
	f.DurationVar(&p.patience, "patience", 10*time.Second, "after which the callers give up")
	f.IntVar(&p.waiters, "waiters", 1000, "callers of a dead session, of a refresh ahead and of the cost")
	f.StringVar(&p.parts, "parts", "storm,ahead,dead,cost", "what is measured")
	f.StringVar(&p.plots, "plots", "", "write SVG plots into this folder")
	f.StringVar(&p.profile, "memprofile", "", "write a heap profile of rebearer to this file while all callers wait, each allocation in it; its costs are then those of profiling, too")
	f.StringVar(&p.cpu, "cpuprofile", "", "write a CPU profile of the contenders in Go to this file; best with -only")
	f.BoolVar(&p.verbose, "v", false, "print a line for each round")
	f.Parse(args)
	for text := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 2 {
			return p, fmt.Errorf("%q is no number of requests", text)
		}
		p.sizes = append(p.sizes, n)
	}
	p.shapes = strings.Split(*shapes, ",")
	for _, s := range p.shapes {
		if shapeOf[s] == nil {
			return p, fmt.Errorf("there is no shape %q", s)
		}
	}
	if *only != "" {
		p.only = strings.Split(*only, ",")
	}
	if p.profile != "" {
		runtime.MemProfileRate = 1
	}
	if p.rounds < 1 || p.waiters < 2 {
		return p, fmt.Errorf("rounds must be at least 1, waiters 2")
	}
	return p, nil
}

// measures reports whether a part is asked for.
func (p plan) measures(part string) bool { return strings.Contains(p.parts, part) }

// takesPart reports whether a contender is asked for. Who measures the floor
// always is: nothing can be told without it.
func (p plan) takesPart(name string) bool {
	if len(p.only) == 0 || name == floorName {
		return true
	}
	for _, beginning := range p.only {
		if strings.HasPrefix(name, beginning) {
			return true
		}
	}
	return false
}
