package recipes_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/transport"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"
)

func TestOTel(t *testing.T) { check(t, recipes.OTel) }

func TestOTelMayBeInsideOfTheHandler(t *testing.T) {
	check(t, func(auth *middleware.Authenticator, api *client.Client) http.Handler {
		return withoutHandler(auth, auth.Handler(otelhttp.NewHandler(recipes.NetHTTP(auth, api), "bff")))
	})
}

// record has the global provider record what ends from now on.
func record(t *testing.T) *tracetest.SpanRecorder {
	spans := tracetest.NewSpanRecorder()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	return spans
}

// traced makes every call of the API a span, as the recipe says, and the
// exchange too.
func (w *world) traced() {
	base := otelhttp.NewTransport(w.base)
	w.auth.Coordinator.Refresher.(*transport.TokenEndpoint).Base = base
	w.rest = client.New(w.api.URL, &transport.Transport{Base: base, Origins: []string{w.api.URL}})
}

// T-I4
func TestOTelTracesTheAttemptsAndNoToken(t *testing.T) {
	spans := record(t)
	w := start(t)
	w.traced()
	h, served := ending(recipes.OTel(w.auth, w.rest))
	b := w.browse(h)
	old := b.refreshToken()
	b.want("/me", http.StatusOK, "page of ada")
	<-served

	// Attempts in the trace of the page, and the exchange in one of its own.
	ended := spans.Ended()
	page := ended[len(ended)-1] // the outermost
	if page.SpanKind() != oteltrace.SpanKindServer || status(page) != "200" {
		t.Fatalf("the page's span is %v", page)
	}
	inTrace, alone := map[string]int{}, 0
	for _, s := range ended {
		switch {
		case s.SpanContext().SpanID() == page.SpanContext().SpanID():
		case s.SpanContext().TraceID() == page.SpanContext().TraceID():
			inTrace[status(s)]++
		default:
			alone++
		}
		all := fmt.Sprint(s.Attributes(), s.Events(), s.Name(), s.Status())
		if strings.Contains(all, "rt_") || strings.Contains(all, "eyJ") {
			t.Errorf("a token in %s", all)
		}
	}
	if inTrace["401"] != 1 || inTrace["200"] != 1 || alone != 1 {
		t.Errorf("in the trace of the page %v, and %d elsewhere; want a 401, a 200, and the exchange", inTrace, alone)
	}
	if strings.Contains(fmt.Sprint(ended), old) {
		t.Error("the refresh token is in a span")
	}
}

// ending tells when a request has been served: a span ends after that, and not
// before the browser has its answer.
func ending(h http.Handler) (http.Handler, <-chan struct{}) {
	served := make(chan struct{}, 100)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { served <- struct{}{} }()
		h.ServeHTTP(w, r)
	}), served
}

func status(s trace.ReadOnlySpan) string {
	for _, a := range s.Attributes() {
		if a.Key == attribute.Key("http.response.status_code") {
			return a.Value.String()
		}
	}
	return ""
}

// Outside, what the Handler answers itself is a span as well.
func TestOTelOutsideSeesTheWayToTheLoginPage(t *testing.T) {
	spans := record(t)
	w := start(t)
	h, served := ending(recipes.OTel(w.auth, w.rest))
	b := w.browse(h)
	w.as.EndSession(b.refreshToken())
	b.must(b.do("GET", "/me", nil, navigating), http.StatusSeeOther, "")
	<-served
	if n := len(spans.Ended()); n != 1 || status(spans.Ended()[0]) != "303" {
		t.Errorf("%d spans: %v", n, spans.Ended())
	}
}
