package recipes

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/telemetry"
	"github.com/rebearer/rebearer/transport"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/trace"
)

// Observability puts traces and metrics around a site, such as NetHTTP or any other
// of these recipes: otelhttp for the requests of browsers and for those of the API,
// telemetry for what happens in between. pages is what browsers are served; metrics
// is what Prometheus scrapes, and should listen where browsers do not.
//
// The order is what matters. From the outside:
//
//	otelhttp.NewHandler      a span for each request of a browser
//	auth.Handler             its wait, where the access token had ended
//	transport.Transport      the wait and the replay of a call, where the API said 401
//	otelhttp.NewTransport    a span for each attempt, since it is the Transport's Base
//
// Around the Transport, otelhttp would see one request and its last answer: no 401,
// and a call that took long for no reason. As its Base it sees both attempts, each
// as long as it took; all of it is in the trace of the browser's request. The
// exchange is in no browser's trace, as it is done for all who wait: each
// rebearer.wait has a link to it.
//
// observability/dashboard.json is a Grafana dashboard of the metrics.
func Observability(
	auth *middleware.Authenticator, apiURL string, base http.RoundTripper, tracers trace.TracerProvider,
	site func(*middleware.Authenticator, *client.Client) http.Handler,
) (pages, metrics http.Handler, err error) {
	registry := prometheus.NewRegistry()
	exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry))
	if err != nil {
		return nil, nil, err
	}
	meters := metric.NewMeterProvider(metric.WithReader(exporter))
	options := []otelhttp.Option{otelhttp.WithTracerProvider(tracers), otelhttp.WithMeterProvider(meters)}

	observer := &telemetry.Observer{TracerProvider: tracers, MeterProvider: meters}
	auth.Coordinator.Observe = observer.Observe
	api := client.New(apiURL, &transport.Transport{
		Base:    otelhttp.NewTransport(base, options...),
		Origins: []string{apiURL},
	})
	pages = otelhttp.NewHandler(site(auth, api), "bff", options...)
	return pages, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}
