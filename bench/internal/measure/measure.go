// Package measure is what the drivers share: CPU time beside wall time, and
// what is told of several rounds. A machine that does other things at the same
// time makes rounds slower and never faster, so the minimum is told beside the
// median.
package measure

import (
	"cmp"
	"slices"
	"syscall"
	"time"
)

// CPU returns what this process has used so far, user and system time of all
// its threads.
func CPU() time.Duration { return usage(syscall.RUSAGE_SELF) }

// Children returns what the ended children of this process have used.
func Children() time.Duration { return usage(syscall.RUSAGE_CHILDREN) }

func usage(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Min returns the least of the values.
func Min[T cmp.Ordered](values []T) T { return slices.Min(values) }

// Median returns the middle one of the values, the lower of two.
func Median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}
