//go:build race

package transport_test

// underRace: the race detector allocates, and makes all slower.
const underRace = true
