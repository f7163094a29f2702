// Package middleware makes a backend for frontend of an http.Handler: it signs
// browsers in by the tokens in their cookies, and no page of theirs is lost
// because an access token ends.
//
//	auth := &middleware.Authenticator{
//		Coordinator: &tokencache.Coordinator{Refresher: endpoint, Revoker: endpoint},
//		Verifier:    &middleware.Verifier{Algorithms: []string{"RS256"}, JWKSURL: "https://as.example.com/jwks"},
//	}
//	mux.Handle("POST /auth/refresh", auth.RefreshHandler())
//	mux.Handle("POST /logout", auth.LogoutHandler())
//	mux.Handle("/", auth.Handler(pages))
//
// where the LogoutHandler is outside of the Handler, which would answer in its place
// while the session cannot be renewed; and after a login that succeeded
//
//	err := auth.SignIn(w, r, token)
//
// A handler behind it calls its APIs with the request's context, through a
// transport.Transport, and needs to know nothing else.
//
// # Before the handler, while it runs, and in the browser
//
// A new access token can come at three times, and the browser must be told each
// time, or its next request begins with the old one again.
//
// Before the handler, [Authenticator.Handler] verifies the token and renews it
// if it has ended. While it runs, a call may come back with 401 although the
// token was good; the Transport refreshes, and the cookies are set on the
// response when its header is written, whoever writes it. If that was earlier,
// as in a stream, the new tokens are parked in the Coordinator and handed over
// with the next response to a request that shows the old ones. And where the
// server cannot refresh, since the refresh cookie is for one path only,
// [Authenticator.Boundary] has the browser ask for it.
//
// # Where the tokens are
//
// Between its requests a browser keeps them, in cookies that no script can read.
// With Sealed in [Cookies] nobody can but the program. With [Sessions] the browser
// has nothing but a name, and the tokens are in the memory of the process or in
// Redis. All else is the same.
//
// # What a failure does
//
// A refresh that fails because a server does not answer ends no session: the
// request is answered with 503 and Retry-After, and the cookies stay. They are
// cleared by a logout, and by a page whose session was proved to be over, and
// by nothing else.
//
// # A stronger sign-in
//
// An API may want more than the user's sign-in gives (RFC 9470, and
// insufficient_scope of RFC 6750): [Authenticator.Boundary] and
// [Authenticator.Error] then send the browser to the login page once, with what
// the API asks for. The session and its cookies stay until the next
// [Authenticator.SignIn]. The login handler passes on what [StepUp] returns, or
// the authorization server finds that the user is signed in already.
//
// # Where to put it
//
// Around what writes the response, and inside what only looks at it: a recoverer,
// a logger and a compressor may be on either side. An http.TimeoutHandler may be, too. Nothing
// outside should write a header before the handler is called.
package middleware
