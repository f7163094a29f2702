package telemetry

import (
	"context"
	"errors"
	"sync"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/event"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/rebearer/rebearer/telemetry"

// Observer makes spans and metrics of events. Its zero value works. It may be
// shared by several Coordinators, is safe for concurrent use, and must not be
// copied or changed after first use.
type Observer struct {
	// TracerProvider makes the spans. If nil, the global one.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the metrics. If nil, the global one.
	MeterProvider metric.MeterProvider

	once    sync.Once
	tracer  trace.Tracer
	metrics metrics
}

// Observe is what a [tokencache.Coordinator] has in its field of that name.
func (o *Observer) Observe(ctx context.Context, e event.Event) {
	o.once.Do(o.begin)
	switch e.Kind {
	case event.Presentation:
		o.exchange(ctx, e)
	case event.Served:
		o.wait(ctx, e)
	case event.Replay:
		o.replay(ctx, e)
	case event.Ahead:
		o.metrics.ahead.Add(ctx, 1, metric.WithAttributes(ending(e)...))
	case event.Delivered:
		o.metrics.delivered.Add(ctx, 1)
	case event.Parked:
		o.metrics.parked.Add(ctx, 1)
	case event.Ended:
		// The end of a session is no error: most are a logout.
		o.metrics.ended.Add(ctx, 1, metric.WithAttributes(attribute.String("rebearer.reason", string(e.Reason))))
	}
}

func (o *Observer) begin() {
	tracers, meters := o.TracerProvider, o.MeterProvider
	if tracers == nil {
		tracers = otel.GetTracerProvider()
	}
	if meters == nil {
		meters = otel.GetMeterProvider()
	}
	o.tracer = tracers.Tracer(scope)
	if err := o.metrics.make(meters.Meter(scope)); err != nil {
		otel.Handle(err)
	}
}

// ending says how something ended.
func ending(e event.Event) []attribute.KeyValue {
	all := []attribute.KeyValue{attribute.String("rebearer.outcome", string(e.Outcome))}
	if why := errorType(e); why != "" {
		all = append(all, attribute.String("error.type", why))
	}
	return all
}

// errorType is the reason, in the place that the semantic conventions have for it,
// where there is one. What the caller did itself is no error.
func errorType(e event.Event) string {
	switch {
	case e.Reason != "":
		return string(e.Reason)
	case errors.Is(e.Err, tokencache.ErrNoRefreshToken):
		return "no_refresh_token"
	case e.Outcome == event.Failed:
		return "_OTHER"
	}
	return ""
}
