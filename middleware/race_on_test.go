//go:build race

package middleware_test

// underRace: the race detector allocates, and makes all slower.
const underRace = true
