package recipes

import (
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"sync/atomic"

	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/redisstore"
	"github.com/rebearer/rebearer/transport"
)

// Replicated is NetHTTP for a BFF that runs several times: each replica has a
// Coordinator of its own, and all of them a Store on the same Redis. Any replica
// may get any request. Of those who meet an access token that has ended one
// presents the refresh token, and the others are told what came of it.
//
// The Realm must be the same in all replicas, and so must the cookies' names.
// Redis need not be there yet: nothing is sent to it before the first refresh.
//
// Call end after http.Server.Shutdown, in this order: whatever was exchanged for
// a request that is gone must still be stored, or the session is lost.
func Replicated(redis string, as *transport.TokenEndpoint, auth *middleware.Authenticator, api *client.Client) (h http.Handler, end func(context.Context) error, err error) {
	store, err := redisstore.Open(redis)
	if err != nil {
		return nil, nil, err
	}
	coordinator := &tokencache.Coordinator{Refresher: as, Revoker: as, Store: store, Realm: as.URL + " " + as.ClientID}
	auth.Coordinator = coordinator
	end = func(ctx context.Context) error { return errors.Join(coordinator.Wait(ctx), store.Close()) }
	return NetHTTP(auth, api), end, nil
}

// RoundRobin is what goes in front of replicas where there is no nginx or the
// like: each request goes to the next host. Nothing sticks to a replica; that is
// what the Store is for.
func RoundRobin(through http.RoundTripper, hosts ...string) http.Handler {
	return &httputil.ReverseProxy{
		Transport: &rotation{through: through, hosts: hosts},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme = "http"
			r.Out.Host = r.In.Host // what Origin is compared with
			r.SetXForwarded()
		},
		FlushInterval: -1, // what a replica sends at once, the browser gets at once
	}
}

// rotation sends each request to the next host. What only reads is sent to the
// others, too, if a replica dies over it (RFC 9110 section 9.2.2). Nothing else
// is: the replica may have done what was asked before it died.
type rotation struct {
	through http.RoundTripper
	hosts   []string
	turn    atomic.Uint32
}

func (p *rotation) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	tries := 1
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.ContentLength == 0 {
		tries = len(p.hosts)
	}
	for turn := p.turn.Add(1); tries > 0; tries-- {
		to := r.Clone(r.Context())
		to.URL.Host = p.hosts[turn%uint32(len(p.hosts))]
		resp, err = p.through.RoundTrip(to)
		if err == nil || r.Context().Err() != nil {
			return resp, err
		}
		turn++
	}
	return nil, err
}
