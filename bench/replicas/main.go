//go:build unix

// Storm measures how long many processes wait for the successor of one spent
// refresh token. See ../README.md.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	if addresses, ok := os.LookupEnv(variable); ok {
		work(addresses)
		return
	}
	p, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	h := newHost()
	defer h.end()
	fmt.Print(table(p, measure(h, p)))
}

func parse(args []string) (p plan, err error) {
	f := flag.NewFlagSet("storm", flag.ExitOnError)
	f.IntVar(&p.rounds, "rounds", 60, "rounds of each contender in each setting, beside one to warm up")
	f.IntVar(&p.processes, "processes", 8, "worker processes")
	f.IntVar(&p.callers, "callers", 200, "goroutines in each, every other one late")
	names := f.String("contenders", "rebearer,redsync,redsync tuned", "who takes turns")
	modes := f.String("modes", "fresh,chain", "a new session each round; the successor of the last round")
	delays := f.String("delays", "50ms,200ms", "how long the authorization server takes")
	f.IntVar(&p.convoys, "convoys", 2, "rounds in which redsync takes part, beside one to warm up")
	f.DurationVar(&p.patience, "patience", 10*time.Second, "after which a caller gives up")
	f.BoolVar(&p.direct, "direct", false, "connect to Redis directly; no requests are counted")
	f.BoolVar(&p.each, "v", false, "print a line for each round")
	f.Parse(args)
	p.contenders, p.modes = strings.Split(*names, ","), strings.Split(*modes, ",")
	for _, name := range p.contenders {
		if contenders[name] == nil {
			return p, fmt.Errorf("there is no contender %q", name)
		}
	}
	for _, mode := range p.modes {
		if mode != "fresh" && mode != "chain" {
			return p, fmt.Errorf("there is no mode %q", mode)
		}
	}
	for text := range strings.SplitSeq(*delays, ",") {
		d, err := time.ParseDuration(text)
		if err != nil {
			return p, err
		}
		p.delays = append(p.delays, d)
	}
	if p.rounds < 1 || p.convoys < 1 || p.processes < 1 || p.callers < 1 {
		return p, fmt.Errorf("rounds, convoys, processes and callers must be at least 1")
	}
	return p, nil
}
