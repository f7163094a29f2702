//go:build race

package sim_test

const raced = true // by the race detector
