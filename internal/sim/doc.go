// Package sim holds no code. Its tests simulate what the whole module promises:
// that a refresh token is presented at most once, that nothing is lost, and that
// nobody is logged out without proof.
//
// A world has replicas (each a Coordinator, an Authenticator and a Transport), a
// Store that they share or none, browsers whose tabs share a jar of cookies, an
// authorization server and an API. Whatever would cross a network is a message:
// a read or a write of the Store, a presentation, a call of the API, a response.
// One scheduler holds all of them, and does one thing at a time: it delivers a
// message, or its answer, lets time pass (testing/synctest), or lets a fault
// happen. What it does is drawn from a seed, so that the seed is the schedule.
//
//	go test ./internal/sim                     # a few thousand schedules
//	go test ./internal/sim -sim.n 1000000      # more of them
//	go test ./internal/sim -sim.from 5000000   # others
//	go test ./internal/sim -sim.seed 4711 -v   # this one, with all that happened
//	go test ./internal/sim -v                  # with the faults that were met, by the state of the entry
//	go test ./internal/sim -sim.defences       # takes lines of defence away, and counts the schedules until that is found
//
// A schedule is the same each time only where goroutines run one at a time: the
// tests set GOMAXPROCS to 1, and the race detector, which shuffles them, may see
// others.
package sim
