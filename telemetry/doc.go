// Package telemetry makes OpenTelemetry spans and metrics of what rebearer tells:
//
//	observer := &telemetry.Observer{}
//	coordinator := &tokencache.Coordinator{Refresher: as, Observe: observer.Observe}
//
// The zero Observer takes the global providers. Nothing that it makes holds a
// token, a subject or the text of an error: attributes are of the closed sets in
// package event and package reason, HTTP statuses, and resource indicators.
//
// # Spans
//
//	rebearer.exchange  a refresh token was presented; the root of a trace of its own
//	rebearer.wait      a caller waited for a token; in the trace of its request
//	rebearer.replay    a request was sent a second time; in the trace of its request
//
// An exchange belongs to no caller: it may outlive the one that began it, and serve
// a thousand others, whose traces would all claim it. So it is a trace of its own,
// and the wait of each of them has a link to it. A link the other way would need
// to know everybody who is still to come. Where a request has no span, its wait and
// its replay have none either.
//
// docs/observability.md lists the metrics, and goes with a dashboard.
package telemetry
