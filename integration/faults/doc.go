// Package faults runs a BFF of two replicas for users who go on clicking while
// the ways to its servers fail: that to the API, that to the authorization
// server and that to Redis. The replicas are processes, so that what they keep
// in memory is theirs alone; everything else is in the process of the test.
//
//	browsers ──▶ replica ─┬─ proxy ─▶ API, over TLS
//	         ──▶ replica ─┼─ proxy ─▶ authorization server, over TLS, strict
//	                      └─ proxy ─▶ redis-server
//
// The proxies are ours. Toxiproxy would have brought a metrics library, a
// logger, a router and a command line with it. And it knows two things less: how
// to refuse a connection at the door, and how to lose a request for certain
// before its server has it, see [fault.mild].
//
// What may end a session, and is kept out of the run that may lose none:
//
//   - The server has spent a refresh token, and its answer is cut. The token is
//     presented again, since nothing else is left, and a strict server takes that
//     for theft. The reason is ambiguous.
//   - Redis is away for two thirds of a lease or more while an exchange has no
//     place to put its successor, as docs/replicas.md has it. The lease of that
//     run is 10 s and its faults are shorter.
//   - A process stands still for that long. The runs measure it, since a machine
//     that is busy does so unasked, and say when that was.
//
// Faults come and go by a schedule that follows from a seed. Without flags its
// two runs, of 20 users, take some 25 seconds side by side:
//
//	go test ./faults
//	go test ./faults -v -faults.for 10m -timeout 30m   # 200 users, and figures
//	go test ./faults -v -faults.seed 7
//
// REBEARER_TEST_LONG=10m does what -faults.for 10m does.
package faults
