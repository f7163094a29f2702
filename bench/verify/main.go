// Verify measures what it costs to have the access token of a request checked
// before a page: with rebearer's Handler, which has seen the token before, and
// with a middleware as one would write it with golang-jwt. See ../README.md.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	var p plan
	f := flag.NewFlagSet("verify", flag.ExitOnError)
	f.IntVar(&p.rounds, "rounds", 12, "rounds; in each all take a turn")
	f.DurationVar(&p.slice, "slice", 100*time.Millisecond, "how long a turn takes")
	f.Parse(os.Args[1:])
	if p.rounds < 1 || p.slice <= 0 {
		fmt.Fprintln(os.Stderr, "rounds and slice must be positive")
		os.Exit(2)
	}
	contenders, err := contenders()
	if err == nil {
		err = p.run(contenders)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(table(contenders))
}
