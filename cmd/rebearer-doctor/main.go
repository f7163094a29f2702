// Rebearer-doctor is pointed at an authorization server, and reports what that
// does to refresh tokens: whether it rotates them, what a second use of one
// brings and for how long, what a dead one looks like, whether expires_in is
// honest, which client authentication works, what a revocation ends, whether
// DPoP demands a nonce, how far the clocks are apart. It ends with the
// transport.TokenEndpoint to configure, as Go code.
//
//	go run github.com/rebearer/rebearer/cmd/rebearer-doctor -issuer https://as.example.com
//
// reads what the server publishes, which costs nothing, and prints the plan: what
// it would send, how often your tokens would be presented, and what each step
// costs. With -yes it does that, and no more: a token that you did not hand over
// is never presented, and none more often than the plan says.
//
// It spends sessions. The first tells about rotation and reuse, a second about
// revocation, and a third whether the reuse of one token ends the user's other
// sessions. Use a test user's: there are servers on which that is so. Either hand
// over refresh tokens, one a line,
//
//	rebearer-doctor -issuer … -client-id bff -refresh-token-file tokens -client-secret-file secret -yes
//
// or sign in three times, with a redirect URL that is registered for the client:
//
//	rebearer-doctor -issuer … -client-id bff -client-secret-file secret -login 3 -redirect-url http://127.0.0.1:8400/callback -yes
//
// Each session has to be of a sign-in in another private window: there are servers
// on which two sign-ins of one browser are one grant, which ends as one.
//
// Secrets come from a file, from standard input (the file name -), or from the
// environment, as REBEARER_CLIENT_SECRET and REBEARER_REFRESH_TOKENS, and never
// from the command line, which other users of the machine can see. No secret is
// printed, not even one that the server quotes.
//
// A backend that keeps its tokens in cookies is examined with -cookie, and the
// URL of its refresh as -token-endpoint.
//
// With -json it prints one object with the members plan and report. It ends with
// 0 if it could do what it was asked, whatever it found; with 1 if it could not;
// and with 2 if it was asked wrongly.
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/rebearer/rebearer/internal/doctor"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := doctor.Program{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv}.Run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
