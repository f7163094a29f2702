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
// A world has manners, which are drawn, too: clocks that differ, a Hold that ends,
// replicas that go on alone, and a siege, in which a few requests meet many faults at
// one exchange.
//
//	go test ./internal/sim                     # 3000 schedules, 300 with the race detector, and always the same
//	go test ./internal/sim -sim.n 1000000 -timeout 0
//	go test ./internal/sim -sim.from 5000000   # others
//	go test ./internal/sim -sim.seed 4711 -v   # this one, with all that happened
//	go test ./internal/sim -v                  # with the faults that were met, by the state of the entry
//	go test ./internal/sim -run Defence -sim.defences -v -timeout 0
//
// The last takes the lines of defence away, one by one, and counts the schedules until
// that is found.
//
// What this cannot show is what a process does within itself at one moment: between two
// messages, goroutines run as they like. Nor is a clock set while it runs, and a Store
// never gives an old answer to a read. What a world excuses is in excuse_test.go; each
// excuse is a row of docs/replicas.md, or of what that says is not promised.
//
// A schedule is the same each time only where goroutines run one at a time: the
// tests set GOMAXPROCS to 1, and the race detector, which shuffles them, may see
// others. Of timers that end at one moment a bubble does not say which comes first, so
// that a few seeds in a hundred have more than one schedule: what has failed may have
// to be run some times.
package sim
