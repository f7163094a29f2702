// Package browser drives a real Chromium, without a window, through the BFF of
// examples/bff and through one of its own, over package middleware. What a
// browser does with cookies, redirects, policies and locks is not what a test's
// cookie jar does.
//
// It holds tests only. They need Chromium as the command chromium, and without
// it they are skipped; REBEARER_TEST_REQUIRE=all makes that a failure. There is
// one browser for all tests, in which each has a profile of its own, and every
// server listens on 127.0.0.1. Where REBEARER_SCREENSHOTS names a folder,
// pictures of some pages are put there.
package browser
