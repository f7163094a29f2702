//go:build unix

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// All processes read one clock: CLOCK_MONOTONIC of the machine, in nanoseconds.
// Nobody sets it, unlike the wall clock. Go's own monotonic readings advance with
// it, from an origin that differs by process; each process finds its own once.
var origin, originRead = align()

// align pairs a reading of Go's clock with one of the machine's: of many pairs
// that one between whose readings the least time has passed.
func align() (machine int64, goes time.Time) {
	least := time.Hour
	for range 1000 {
		before := time.Now()
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			panic(err)
		}
		if took := time.Since(before); took < least {
			least, machine, goes = took, ts.Nano(), before.Add(took/2)
		}
	}
	return machine, goes
}

// now reads the clock.
func now() int64 { return origin + int64(time.Since(originRead)) }

// sleepUntil returns when the clock has reached it.
func sleepUntil(at int64) { time.Sleep(time.Until(originRead.Add(time.Duration(at - origin)))) }
