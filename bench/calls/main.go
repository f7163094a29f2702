// Calls measures what one authenticated call costs: with rebearer, and with what
// one would take instead. See ../README.md.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	var p plan
	f := flag.NewFlagSet("calls", flag.ExitOnError)
	f.IntVar(&p.rounds, "rounds", 6, "rounds of each table")
	f.DurationVar(&p.slice, "slice", 100*time.Millisecond, "how long a turn of the baseline takes; all others make as many calls")
	only := f.String("only", "", "the beginning of the name of the tables to make, such as 2; if empty, all")
	f.IntVar(&tokenLength, "token", tokenLength, "bytes of an access token, but for table 6")
	f.Parse(os.Args[1:])
	if p.rounds < 1 || p.slice <= 0 || tokenLength < 16 {
		fmt.Fprintln(os.Stderr, "rounds and slice must be positive, and a token has 16 bytes at least")
		os.Exit(2)
	}
	if err := run(p, *only); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(p plan, only string) error {
	for _, r := range routes() {
		if !strings.HasPrefix(r.name, only) {
			continue
		}
		out, err := p.measured(r)
		if err != nil {
			return err
		}
		fmt.Print(out.table())
	}
	if strings.HasPrefix("6", only) {
		text, err := headerTables(p.rounds)
		if err != nil {
			return err
		}
		fmt.Print(text)
	}
	return nil
}
