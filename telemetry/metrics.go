package telemetry

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

// metrics are named by the semantic conventions: what is counted in the plural, a
// duration in seconds.
type metrics struct {
	presentations, adoptions, ahead metric.Int64Counter
	replays, delivered, parked      metric.Int64Counter
	ended                           metric.Int64Counter
	exchange, wait                  metric.Float64Histogram
}

// bounds are those that the semantic conventions advise for requests, and one
// above the Timeout and the time in which a successor must be stored.
var bounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 15}

func (m *metrics) make(meter metric.Meter) error {
	var failed []error
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		failed = append(failed, err)
		return c
	}
	duration := func(name, description string) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
		failed = append(failed, err)
		return h
	}
	m.presentations = counter("rebearer.refresh.presentations", "{presentation}",
		"Refresh tokens that were sent to the authorization server.")
	m.adoptions = counter("rebearer.refresh.adoptions", "{adoption}",
		"Callers that were given what somebody else's presentation brought.")
	m.ahead = counter("rebearer.refresh.renewals_ahead", "{renewal}",
		"Renewals ahead of an access token's end, which nobody waited for.")
	m.exchange = duration("rebearer.refresh.exchange.duration",
		"How long exchanges took, from the request to the authorization server until the successor was stored.")
	m.wait = duration("rebearer.refresh.wait.duration",
		"How long callers waited for a token in place of one that does not work.")
	m.replays = counter("rebearer.replays", "{replay}",
		"Requests that were sent a second time, with a new token.")
	m.delivered = counter("rebearer.responses.delivered", "{response}",
		"Responses that handed new tokens to the browser.")
	m.parked = counter("rebearer.responses.parked", "{response}",
		"Responses whose header had gone out when new tokens came; the next one hands them over.")
	m.ended = counter("rebearer.sessions.ended", "{session}",
		"Sessions that were ended, by reason.")
	return errors.Join(failed...)
}
