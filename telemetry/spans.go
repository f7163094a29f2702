package telemetry

import (
	"context"

	"github.com/rebearer/rebearer/tokencache/event"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// exchange makes a trace of a presentation, and notes it for those who wait.
func (o *Observer) exchange(ctx context.Context, e event.Event) {
	ctx, span := o.start(ctx, "rebearer.exchange", e, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindClient))
	if e.Exchange != nil {
		e.Exchange.Note = span.SpanContext()
	}
	how := metric.WithAttributeSet(attribute.NewSet(ending(e)...))
	o.metrics.exchange.Record(ctx, e.Took.Seconds(), how)
	if e.Outcome != event.Unsent {
		o.metrics.presentations.Add(ctx, 1, how)
	}
	end(span, e)
}

// wait makes a span of the time in which a caller could do nothing else.
func (o *Observer) wait(ctx context.Context, e event.Event) {
	if inTrace(ctx) {
		var links []trace.Link
		if e.Exchange != nil {
			if of, ok := e.Exchange.Note.(trace.SpanContext); ok && of.IsValid() {
				links = append(links, trace.Link{SpanContext: of})
			}
		}
		var span trace.Span
		ctx, span = o.start(ctx, "rebearer.wait", e, trace.WithLinks(links...))
		defer end(span, e)
	}
	how := metric.WithAttributeSet(attribute.NewSet(ending(e)...))
	o.metrics.wait.Record(ctx, e.Took.Seconds(), how)
	if e.Outcome == event.Joined || e.Outcome == event.Adopted {
		o.metrics.adoptions.Add(ctx, 1, how)
	}
}

// replay makes a span of a second attempt, until its answer began.
func (o *Observer) replay(ctx context.Context, e event.Event) {
	if inTrace(ctx) {
		var span trace.Span
		ctx, span = o.start(ctx, "rebearer.replay", e)
		defer end(span, e)
	}
	o.metrics.replays.Add(ctx, 1, metric.WithAttributes(append(ending(e), status(e)...)...))
}

func inTrace(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsValid() }

func (o *Observer) start(ctx context.Context, name string, e event.Event, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	all := append(ending(e), status(e)...)
	if e.Resource != "" {
		all = append(all, attribute.String("rebearer.resource", e.Resource))
	}
	return o.tracer.Start(ctx, name, append(options, trace.WithTimestamp(e.Began), trace.WithAttributes(all...))...)
}

func end(span trace.Span, e event.Event) {
	switch e.Outcome {
	case event.Failed, event.Unsent, event.Unstored, event.Rejected:
		span.SetStatus(codes.Error, string(e.Reason))
	}
	span.End(trace.WithTimestamp(e.Began.Add(e.Took)))
}

func status(e event.Event) []attribute.KeyValue {
	if e.Status == 0 {
		return nil
	}
	return []attribute.KeyValue{attribute.Int("http.response.status_code", e.Status)}
}
