//go:build race

package main

// underRace reports whether the race detector, which allocates, is on.
const underRace = true
