// Package authtest is a kit for tests of programs that refresh tokens, as
// [net/http/httptest] is for programs that speak HTTP. It has an authorization
// server and an API that believes it, both in process and on a free port of
// 127.0.0.1.
//
//	as := authtest.NewAS(authtest.ASConfig{})
//	defer as.Close()
//	api := as.NewAPI()
//	defer api.Close()
//
//	token := as.SignIn("alice")
//	as.RevokeAccess() // the next call meets a 401
//	… // call api.URL + "/users/me" with the token, through the code under test
//	as.Counts().Presentations // should be 1
//
// The [AS] is strict unless told otherwise: a refresh token works once, and
// showing it again ends the session, which is how a race in the code under test
// becomes visible. It speaks two styles over the same sessions: the grant of RFC
// 6749 section 6 at [AS.TokenURL], and a backend that keeps both tokens in
// cookies at [AS.RestoreURL].
//
// A [Fault] makes its refresh endpoints fail: instead of the refresh, which
// leaves the refresh token good, or [After] it, which leaves it spent.
//
//	as.FailNext(1, authtest.Answer(503, nil, ""))      // nothing happened
//	as.FailNext(1, authtest.After(authtest.Cut))       // rotated, answer lost
//
// Counts are exact, however many requests there are at once: what a client has
// seen the answer of is counted.
package authtest
