// Package integration runs rebearer against authorization servers that none of
// us wrote, and against a NestJS backend that keeps its tokens in cookies. Which
// they are, how they are run and what each does to a refresh token that comes
// twice is the table in table_test.go. github.com/luikyv/go-oidc runs in this
// process. All others run in one of their own, by a launcher: a program in a
// folder here, with package.json or a go.mod of its own, so that what it needs
// reaches nobody else.
//
// It is a module of its own, so that none of the dependencies becomes one of
// rebearer's. It holds tests only, and with -v ends with what was measured:
//
//	cd integration && go test -p 1 -race ./...
//
// Without node and npm, or without a way to npm's packages or Go's modules, the
// tests that need them are skipped; REBEARER_TEST_REQUIRE=all makes that a
// failure. Ory Hydra takes ten minutes to build for the first time, and so it is
// there only if REBEARER_TEST_HYDRA is set: give -timeout 30m with it. What was
// installed or built stays in the user's cache. Every server listens on
// 127.0.0.1 and ends with its test.
package integration
