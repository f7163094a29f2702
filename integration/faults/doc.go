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
// before its server has it, see [fault.before].
//
// What may end a session:
//
//   - The server has spent a refresh token, and its answer is cut. The token is
//     presented again, since nothing else is left, and a strict server takes that
//     for theft. The reason is ambiguous. Only one of the two runs has it.
//   - A process stands still for two thirds of a lease or more. The runs measure
//     it, since a machine that is busy does so unasked, and say when that was.
//   - A replica is cut off from Redis for that long while the other is not. Both
//     have the same way, but one may hold more connections that are silent. The
//     run that may lose no session does not excuse that.
//
// The faults are latency, 1 KB/s, reset, slow close, half-open, a TLS handshake
// that fails and a connection that is refused at the door. But for the first two
// each is there twice: requests are lost before they have an effect, and answers
// after that. Each comes on each way, but for those that it cannot have, in an
// order that follows from a seed, and none comes again before all have. A run
// fails if one was felt by nobody.
//
// Without flags the two runs are of 20 users and side by side; all takes about a
// minute with -race on two cores. With -v they print their figures, in Markdown:
//
//	go test ./faults
//	go test ./faults -v -faults.for 10m -timeout 30m   # 200 users
//	go test ./faults -v -faults.seed 7
//
// REBEARER_TEST_LONG=10m does what -faults.for 10m does. What needs redis-server
// is skipped without it; REBEARER_TEST_REQUIRE=all makes that a failure.
package faults
