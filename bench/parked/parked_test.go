package main

import (
	"flag"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if order := os.Getenv(variable); order != "" {
		work(order)
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// A tiny round of each contender. It says nothing about time.
func TestEveryContenderHoldsWhatItIsGiven(t *testing.T) {
	value, err := parkedValue()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := delegate(order{
				Contender: name, Sessions: 2000, Size: len(value), Head: value[:2], Cycles: 1, Operations: 100,
				Window: 50 * time.Millisecond,
			})
			switch {
			case err != nil:
				t.Fatal(err)
			case name == "nothing":
				if r.Lost != 1 {
					t.Errorf("nothing has kept %v", 1-r.Lost)
				}
			case len(r.Costs) != 3:
				t.Errorf("%d sizes", len(r.Costs))
			case r.Lost > 0 && name != "ristretto": // which drops what comes too fast
				t.Errorf("%v were lost", r.Lost)
			case r.Heap < int64(len(value)) && r.Lost == 0:
				t.Errorf("%d bytes of heap for %d", r.Heap, len(value))
			}
		})
	}
}

func TestAParkedValueSaysWhatItIs(t *testing.T) {
	value, err := parkedValue()
	if err != nil {
		t.Fatal(err)
	}
	if len(value) < (*access+*refresh)*3/4 || value[1] != 'd' {
		t.Errorf("%d bytes that begin with %q", len(value), value[:2])
	}
}
