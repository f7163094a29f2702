package recipes

import (
	"net/http"

	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

// OTel traces the requests of browsers. Outside of the Authenticator's Handler,
// as here, there is a span for every request: for those that were sent to the
// login page, for the wait for a refresh, and with the status that the browser
// saw. Inside, there would be spans for handlers alone, which is less; the
// cookies come out and Flush works in both orders.
//
// For outgoing requests, otelhttp goes below the Transport:
//
//	&transport.Transport{Base: otelhttp.NewTransport(nil), …}
//
// There is a span for each attempt then, so that a 401 and the replay are seen
// as what they are, all in the trace of the request that caused them. Around
// the Transport there would be one span for both. A refresh itself is in no
// trace of a request: it is done for all who wait, and belongs to none of them.
func OTel(auth *middleware.Authenticator, api *client.Client) http.Handler {
	return otelhttp.NewHandler(NetHTTP(auth, api), "bff")
}
