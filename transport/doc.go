// Package transport makes an http.Client survive the end of its users' access
// tokens: a 401 becomes one refresh and one replay.
//
//	endpoint := &transport.TokenEndpoint{
//		URL:           "https://as.example.com/token",
//		RevocationURL: "https://as.example.com/revoke",
//		ClientID: "bff", ClientSecret: secret,
//	}
//	coordinator := &tokencache.Coordinator{Refresher: endpoint, Revoker: endpoint}
//	api := &http.Client{Transport: &transport.Transport{
//		Origins: []string{"https://api.example.com"},
//	}}
//
// These live as long as the process. For each incoming request the tokens that
// its cookies show go into the context, and every outgoing request that is
// made with that context is signed with them:
//
//	cache := tokencache.New(coordinator, shown)
//	ctx := tokencache.NewContext(r.Context(), cache)
//	req, _ := http.NewRequestWithContext(ctx, "GET", "https://api.example.com/users/me", nil)
//	resp, err := api.Do(req)
//
// [TokenEndpoint] and [CookieEndpoint] are the two kinds of authorization
// server that ship; anything else is a [tokencache.Refresher] of a few lines.
//
// # What is sent a second time
//
// A 401 says that the request was not carried out (RFC 9110 section 15.5.2), so
// any method is replayed, at most once, byte for byte. A body is taken from
// GetBody where the request has one, which is so for all that
// http.NewRequest knows how to rewind. Any other body is kept while it is sent,
// up to [Transport].MaxBody. What was not read at all, as with Expect:
// 100-continue, is sent as it is.
//
// The 401's own body is read first, up to 64 KiB, so that its connection is free
// for the refresh. A longer one, or one to a body that cannot be sent again, keeps
// its connection until it is closed: with MaxConnsPerHost, and the authorization
// server at the same host, the refresh may wait for it in vain. One that does not
// end is given up after a second; where it is compressed, net/http lets go of its
// connection only when the request's context ends.
//
// # Where tokens go
//
// To the allowed origins and nowhere else: not along a redirect that leaves
// them, not to another port of the same host, and not over plain http to
// another machine. A request to anywhere else passes through unsigned, and its
// 401 starts nothing.
//
// # What it costs
//
// A request is copied once, without its body, and gets the one value of
// Authorization that all requests with this token share: three allocations, no
// lock, and one look at the clock. [NewRequest] does with fewer.
//
// Over HTTP/2 the tokens of many users on one connection do not fit into the 4 KB
// of headers that each side remembers of the other, so that each request carries
// its token in full: some 700 bytes instead of 40. Where the API's server allows
// for more, as one in Go does with MaxDecoderHeaderTableSize, so can Base; it takes
// both sides:
//
//	base := http.DefaultTransport.(*http.Transport).Clone()
//	base.HTTP2 = &http.HTTP2Config{MaxEncoderHeaderTableSize: 1 << 20}
package transport
