// Package integration runs rebearer against authorization servers that none of
// us wrote: github.com/luikyv/go-oidc in this process, and npm's oidc-provider,
// which rotates strictly and detects reuse, in a Node process of each test.
//
// It is a module of its own, so that none of their dependencies becomes one of
// rebearer's. It holds tests only:
//
//	cd integration && go test -race ./...
//
// Without node and npm, or without a way to npm's packages, the tests that need
// them are skipped; REBEARER_TEST_REQUIRE=all makes that a failure. Every
// server listens on 127.0.0.1 and ends with its test.
package integration
