// Command parked measures what a session costs whose successor waits for its
// browser: in this process, next to what else keeps values until a time, and as
// a Coordinator parks it, in memory and in a Redis that it is given.
//
//	go run ./parked
//	redis-server --port 0 …; go run ./parked -redis redis://127.0.0.1:6379
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rebearer/rebearer/bench/internal/measure"
)

var (
	sessions   = flag.Int("sessions", 1_000_000, "how many each contender holds")
	rounds     = flag.Int("rounds", 6, "how often each contender takes its turn, in a process of its own")
	cycles     = flag.Int("cycles", 6, "forced garbage collections in a round")
	operations = flag.Int("operations", 200_000, "how many sessions come and go at each size")
	only       = flag.String("only", "", "contenders that take part, separated by commas; if empty, all")
	parks      = flag.Int("park", 100_000, "how many a Coordinator parks")
	access     = flag.Int("access", 662, "bytes of an access token")
	refresh    = flag.Int("refresh", 64, "bytes of a refresh token")
	address    = flag.String("redis", "", "URL of a Redis that holds nothing else; if empty, memory only")
)

func main() {
	log.SetFlags(0)
	if order := os.Getenv(variable); order != "" {
		work(order)
		return
	}
	flag.Parse()
	value, err := parkedValue()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d sessions, access tokens of %d bytes and refresh tokens of %d: a parked value has %d\n\n",
		*sessions, *access, *refresh, len(value))
	results, err := run(value, *rounds)
	if err != nil {
		log.Fatal(err)
	}
	print(results)
	if err := coordinators(); err != nil {
		log.Fatal(err)
	}
}

// run lets the contenders take turns. Each begins a round as often as the others.
func run(value []byte, rounds int) (map[string][]result, error) {
	names := contending()
	results := map[string][]result{}
	for round := range rounds {
		log.Printf("round %d of %d", round+1, rounds)
		for i := range names {
			name := names[(i+round)%len(names)]
			r, err := delegate(order{
				Contender: name, Sessions: *sessions, Size: len(value), Head: value[:2], Cycles: *cycles, Operations: *operations,
				Window: 4 * time.Second, // who cleans up by a clock does so each second or so
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			results[name] = append(results[name], r)
		}
	}
	return results, nil
}

func contending() []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return *only != "" && !slices.Contains(strings.Split(*only, ","), name)
	})
}

func print(results map[string][]result) {
	fmt.Println("| contender | bytes a session: heap / resident | GC CPU of a cycle, ms | lost of a burst | longest put, ms | its own work | longest while all expire, ms | its own work | left of the memory |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for _, name := range contending() {
		rs := results[name]
		fmt.Printf("| %s | %d / %d | %s | %s | %s | %s | %s | %s | %s |\n", name,
			measure.Median(each(rs, func(r result) int64 { return r.Heap })), measure.Median(each(rs, func(r result) int64 { return r.Resident })),
			spread(rs, func(r result) float64 { return r.Collection }), percent(rs, func(r result) float64 { return r.Lost }),
			spread(rs, func(r result) float64 { return r.Put }), spread(rs, func(r result) float64 { return r.Work }),
			spread(rs, func(r result) float64 { return r.Expiry }), spread(rs, func(r result) float64 { return r.Sweep }),
			percent(rs, func(r result) float64 { return r.Left }))
	}
	fmt.Println("\nMinimum / median of the rounds; bytes and percentages are medians. Own work is the CPU time of the thread that put.")
	fmt.Print("\n| one session comes and one goes, µs of CPU, among |")
	for _, n := range sizes(*sessions) {
		fmt.Printf(" %d |", n)
	}
	fmt.Println("\n|---|" + strings.Repeat("---|", len(sizes(*sessions))))
	for _, name := range contending() {
		fmt.Printf("| %s |", name)
		for i := range sizes(*sessions) {
			fmt.Printf(" %s |", spread(results[name], func(r result) float64 { return r.Costs[i] }))
		}
		fmt.Println()
	}
	fmt.Println()
}

func each[T any](rs []result, f func(result) T) (all []T) {
	for _, r := range rs {
		all = append(all, f(r))
	}
	return all
}

func spread(rs []result, f func(result) float64) string {
	all := each(rs, f)
	return short(measure.Min(all)) + " / " + short(measure.Median(all))
}

func percent(rs []result, f func(result) float64) string {
	return short(100*measure.Median(each(rs, f))) + " %"
}

func short(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}
