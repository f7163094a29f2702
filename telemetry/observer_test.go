package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/telemetry"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/event"
	"github.com/rebearer/rebearer/tokencache/reason"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// lab is an Observer, and what is made of what it is told.
type lab struct {
	*telemetry.Observer
	spans   *tracetest.SpanRecorder
	metrics *metric.ManualReader
}

func newLab() *lab {
	l := &lab{&telemetry.Observer{}, tracetest.NewSpanRecorder(), metric.NewManualReader()}
	l.TracerProvider = trace.NewTracerProvider(trace.WithSpanProcessor(l.spans))
	l.MeterProvider = metric.NewMeterProvider(metric.WithReader(l.metrics))
	return l
}

func (l *lab) collect(t *testing.T) (all []metricdata.Metrics) {
	t.Helper()
	var found metricdata.ResourceMetrics
	if err := l.metrics.Collect(t.Context(), &found); err != nil {
		t.Fatal(err)
	}
	for _, scope := range found.ScopeMetrics {
		all = append(all, scope.Metrics...)
	}
	return all
}

// points returns each point as name{attributes} = value; of a histogram the count.
func (l *lab) points(t *testing.T) (all []string) {
	t.Helper()
	add := func(name string, set attribute.Set, n any) {
		all = append(all, fmt.Sprintf("%s{%s} = %v", name, set.Encoded(attribute.DefaultEncoder()), n))
	}
	for _, m := range l.collect(t) {
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range d.DataPoints {
				add(m.Name, p.Attributes, p.Value)
			}
		case metricdata.Histogram[float64]:
			for _, p := range d.DataPoints {
				add(m.Name, p.Attributes, p.Count)
			}
		}
	}
	slices.Sort(all)
	return all
}

func TestWhatAnEventCountsFor(t *testing.T) {
	refused := &tokencache.Error{Reason: reason.Refused, Status: 400}
	for name, row := range map[string]struct {
		event event.Event
		want  []string
	}{
		"a successor that was stored": {event.Event{Kind: event.Presentation, Outcome: event.Stored}, []string{
			"rebearer.refresh.exchange.duration{rebearer.outcome=stored} = 1",
			"rebearer.refresh.presentations{rebearer.outcome=stored} = 1"}},
		"one that was not": {event.Event{Kind: event.Presentation, Outcome: event.Unstored, Reason: reason.Store}, []string{
			"rebearer.refresh.exchange.duration{error.type=store,rebearer.outcome=unstored} = 1",
			"rebearer.refresh.presentations{error.type=store,rebearer.outcome=unstored} = 1"}},
		"what was never sent is no presentation": {event.Event{Kind: event.Presentation, Outcome: event.Unsent, Reason: reason.Network}, []string{
			"rebearer.refresh.exchange.duration{error.type=network,rebearer.outcome=unsent} = 1"}},
		"a refusal": {event.Event{Kind: event.Presentation, Outcome: event.Failed, Reason: reason.Refused, Status: 400, Err: refused}, []string{
			"rebearer.refresh.exchange.duration{error.type=refused,rebearer.outcome=failed} = 1",
			"rebearer.refresh.presentations{error.type=refused,rebearer.outcome=failed} = 1"}},
		"who presents does not adopt": {event.Event{Kind: event.Served, Outcome: event.Presented}, []string{
			"rebearer.refresh.wait.duration{rebearer.outcome=presented} = 1"}},
		"who joins does": {event.Event{Kind: event.Served, Outcome: event.Joined}, []string{
			"rebearer.refresh.adoptions{rebearer.outcome=joined} = 1",
			"rebearer.refresh.wait.duration{rebearer.outcome=joined} = 1"}},
		"and who finds the successor": {event.Event{Kind: event.Served, Outcome: event.Adopted}, []string{
			"rebearer.refresh.adoptions{rebearer.outcome=adopted} = 1",
			"rebearer.refresh.wait.duration{rebearer.outcome=adopted} = 1"}},
		"leaving is no error": {event.Event{Kind: event.Served, Outcome: event.Left, Err: context.Canceled}, []string{
			"rebearer.refresh.wait.duration{rebearer.outcome=left} = 1"}},
		"nothing to refresh with": {event.Event{Kind: event.Served, Outcome: event.Failed, Err: tokencache.ErrNoRefreshToken}, []string{
			"rebearer.refresh.wait.duration{error.type=no_refresh_token,rebearer.outcome=failed} = 1"}},
		"a renewal ahead": {event.Event{Kind: event.Ahead, Outcome: event.Presented}, []string{
			"rebearer.refresh.renewals_ahead{rebearer.outcome=presented} = 1"}},
		"a replay": {event.Event{Kind: event.Replay, Outcome: event.Rejected, Status: 401}, []string{
			"rebearer.replays{http.response.status_code=401,rebearer.outcome=rejected} = 1"}},
		"a replay without an answer": {event.Event{Kind: event.Replay, Outcome: event.Failed}, []string{
			"rebearer.replays{error.type=_OTHER,rebearer.outcome=failed} = 1"}},
		"delivered":    {event.Event{Kind: event.Delivered}, []string{"rebearer.responses.delivered{} = 1"}},
		"parked":       {event.Event{Kind: event.Parked}, []string{"rebearer.responses.parked{} = 1"}},
		"an end":       {event.Event{Kind: event.Ended, Reason: reason.LoggedOut}, []string{"rebearer.sessions.ended{rebearer.reason=logged_out} = 1"}},
		"a later kind": {event.Event{Kind: "later"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab()
			row.event.Began, row.event.Took = time.Now(), time.Second
			l.Observe(t.Context(), row.event)
			if got := l.points(t); !slices.Equal(got, row.want) {
				t.Errorf("%q\nwant %q", got, row.want)
			}
		})
	}
}

// The names are those that docs/observability.md has, and the units those of the
// semantic conventions: seconds, and what is counted in braces.
func TestNamesAndUnits(t *testing.T) {
	l := newLab()
	for _, k := range []event.Kind{event.Presentation, event.Ahead, event.Replay, event.Delivered, event.Parked, event.Ended} {
		l.Observe(t.Context(), event.Event{Kind: k})
	}
	l.Observe(t.Context(), event.Event{Kind: event.Served, Outcome: event.Joined, Took: 30 * time.Millisecond})
	units := map[string]string{}
	for _, m := range l.collect(t) {
		units[m.Name] = m.Unit
		if m.Description == "" {
			t.Errorf("%s is not described", m.Name)
		}
		if h, ok := m.Data.(metricdata.Histogram[float64]); ok && m.Name == "rebearer.refresh.wait.duration" {
			if p := h.DataPoints[0]; p.Sum != 0.03 || p.Bounds[0] != 0.005 || p.Bounds[len(p.Bounds)-1] != 15 {
				t.Errorf("30 ms are %v, within %v", p.Sum, p.Bounds)
			}
		}
	}
	if want := map[string]string{
		"rebearer.refresh.presentations": "{presentation}", "rebearer.refresh.adoptions": "{adoption}", "rebearer.refresh.renewals_ahead": "{renewal}",
		"rebearer.refresh.exchange.duration": "s", "rebearer.refresh.wait.duration": "s", "rebearer.replays": "{replay}",
		"rebearer.responses.delivered": "{response}", "rebearer.responses.parked": "{response}", "rebearer.sessions.ended": "{session}",
	}; !maps.Equal(units, want) {
		t.Errorf("%v, want %v", units, want)
	}
}

// An exchange is a trace of its own, though it is told in one. Who was served by it
// leads to it by a link, and stays in its own trace.
func TestWhoseTraceASpanIsIn(t *testing.T) {
	l := newLab()
	ctx, request := l.TracerProvider.Tracer("test").Start(t.Context(), "request")
	of, began := &event.Exchange{}, time.Now().Add(-time.Hour)
	l.Observe(ctx, event.Event{Kind: event.Presentation, Outcome: event.Stored, Began: began, Took: time.Minute, Exchange: of, Resource: "https://files.example.com/"})
	l.Observe(ctx, event.Event{Kind: event.Served, Outcome: event.Joined, Began: began, Took: time.Minute, Exchange: of})
	l.Observe(ctx, event.Event{Kind: event.Served, Outcome: event.Adopted, Began: began})
	l.Observe(ctx, event.Event{Kind: event.Replay, Outcome: event.Rejected, Began: began, Took: time.Second, Status: 401})
	for _, k := range []event.Kind{event.Served, event.Replay} { // nobody's
		l.Observe(t.Context(), event.Event{Kind: k, Began: began})
	}
	spans := l.spans.Ended()
	if len(spans) != 4 {
		t.Fatalf("%d spans", len(spans))
	}
	exchange, joined, adopted, replay := spans[0], spans[1], spans[2], spans[3]
	if exchange.Parent().IsValid() || exchange.SpanContext().TraceID() == request.SpanContext().TraceID() || exchange.SpanKind() != oteltrace.SpanKindClient {
		t.Errorf("the exchange is %v of %v", exchange.SpanKind(), exchange.Parent())
	}
	if !exchange.StartTime().Equal(began) || exchange.EndTime().Sub(began) != time.Minute {
		t.Errorf("the exchange took from %v to %v", exchange.StartTime(), exchange.EndTime())
	}
	if !slices.Contains(exchange.Attributes(), attribute.String("rebearer.resource", "https://files.example.com/")) {
		t.Errorf("attributes %v", exchange.Attributes())
	}
	for _, s := range spans[1:] {
		if s.Parent().SpanID() != request.SpanContext().SpanID() || s.SpanKind() != oteltrace.SpanKindInternal {
			t.Errorf("%s is a child of %v", s.Name(), s.Parent())
		}
	}
	if links := joined.Links(); len(links) != 1 || !links[0].SpanContext.Equal(exchange.SpanContext()) || len(adopted.Links()) != 0 {
		t.Errorf("links %v and %v", links, adopted.Links())
	}
	if replay.Status().Code != codes.Error || joined.Status().Code != codes.Unset {
		t.Errorf("%v, %v", replay.Status(), joined.Status())
	}
}

// What a Refresher says of a failure is for logs.
func TestNoErrorIsQuoted(t *testing.T) {
	l := newLab()
	ctx, request := l.TracerProvider.Tracer("test").Start(t.Context(), "request")
	canary := &tokencache.Error{Reason: reason.Unrecognised, Code: "CANARY", Err: errors.New("CANARY")}
	for _, k := range []event.Kind{event.Presentation, event.Served, event.Ahead, event.Replay, event.Delivered, event.Parked, event.Ended} {
		l.Observe(ctx, event.Event{Kind: k, Outcome: event.Failed, Reason: canary.Reason, Err: canary})
	}
	request.End()
	spans, _ := json.Marshal(tracetest.SpanStubsFromReadOnlySpans(l.spans.Ended()))
	points, _ := json.Marshal(l.collect(t))
	if all := string(spans) + string(points); strings.Contains(all, "CANARY") || strings.Count(all, "unrecognised") < 6 {
		t.Errorf("%s", all)
	}
}

// The zero Observer takes the global providers.
func TestTheZeroObserver(t *testing.T) {
	l := newLab()
	tracers, meters := otel.GetTracerProvider(), otel.GetMeterProvider()
	otel.SetTracerProvider(l.TracerProvider)
	otel.SetMeterProvider(l.MeterProvider)
	defer otel.SetTracerProvider(tracers)
	defer otel.SetMeterProvider(meters)
	(&telemetry.Observer{}).Observe(t.Context(), event.Event{Kind: event.Presentation, Outcome: event.Stored})
	if len(l.spans.Ended()) != 1 || len(l.points(t)) != 2 {
		t.Errorf("%d spans, metrics %v", len(l.spans.Ended()), l.points(t))
	}
}
