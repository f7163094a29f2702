package middleware_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/telemetry"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/event"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"}

// B75, T-I1, T-I3: no byte of a token, nor of the verifier's secret or of those that seal,
// is in what a run prints: logs at their lowest level, pages, problems, errors,
// events, spans, metrics, and whatever somebody prints of what we hand out.
func TestNothingPrintsAToken(t *testing.T) {
	var out bytes.Buffer
	secrets := []string{strings.Repeat("seal", 8)}
	sealing := middleware.Cookies{Sealed: true, Secrets: [][]byte{[]byte(secrets[0])}}
	secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(secrets[0])))
	w := start(t)
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.auth.Log, w.auth.Coordinator.Log = log, log
	telemetry := w.measured(&out)
	print := func(v any) {
		for _, verb := range verbs {
			fmt.Fprintf(&out, verb+"\n", v)
			fmt.Fprintf(&out, verb+"\n", struct{ V any }{v})
		}
		for _, log := range []*slog.Logger{log, slog.New(slog.NewJSONHandler(&out, nil))} {
			log.Info("here", "v", v)
			log.Info("here", "v", struct{ V any }{v})
		}
		json.NewEncoder(&out).Encode(v)
	}
	secrets = append(secrets, string(w.as.Key().([]byte)))
	s := w.pages(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/signin":
			token := w.as.SignIn("grace")
			secrets = append(secrets, token.Access(), token.Refresh())
			fmt.Fprint(&out, w.auth.SignIn(rw, r, token))
			fmt.Fprint(&out, w.auth.SignIn(rw, r, tokencache.NewToken(tokencache.TokenFields{Access: strings.Repeat(token.Access(), 20)})))
		case "/late":
			rw.(http.Flusher).Flush()
			w.late(r)
		default:
			w.late(r)
		}
		print(rw)
		fmt.Fprintf(&out, "%v %+v", r.Context(), r.Context()) // what net/http keeps there changes meanwhile
		print(tokencache.FromContext(r.Context()))
		print(w.auth)
		print(w.auth.Verifier)
		print(&w.auth.Cookies)
	}))
	visit := func(b *browser, path string) {
		for _, h := range []http.Header{navigating, fetching} {
			access, refresh := b.cookies()
			secrets = append(secrets, access, refresh)
			io.WriteString(&out, b.do("GET", path, "", h).body)
			access, refresh = b.cookies()
			secrets = append(secrets, access, refresh)
		}
	}
	for _, path := range []string{"/", "/late", "/signin"} {
		for _, expired := range []bool{true, false} {
			b := s.browser()
			if expired {
				b.expired("ada")
			} else {
				b.signedIn("ada")
			}
			visit(b, path)
		}
	}
	for _, fault := range []authtest.Fault{
		authtest.Answer(400, nil, `{"error":"invalid_grant"}`), authtest.Answer(401, nil, `{"error":"invalid_client"}`), authtest.HTML, authtest.Cut,
	} {
		w.as.Fail(fault)
		b := s.browser()
		b.expired("ada")
		visit(b, "/")
		bounded := w.bounded().browser()
		bounded.expired("ada")
		visit(bounded, "/")
		io.WriteString(&out, bounded.do("POST", "/auth/refresh", "", fetching).body)
	}
	w.as.Fail(nil)
	print(sealing)
	print(&sealing)
	w.auth.Coordinator.Wait(t.Context())
	telemetry()
	for _, secret := range secrets {
		for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), strings.Trim(fmt.Sprint([]byte(secret)), "[]")} {
			if secret != "" && strings.Contains(out.String(), form) {
				t.Fatalf("a secret was printed: …%.200s", out.String()[max(0, strings.Index(out.String(), form)-150):])
			}
		}
	}
	if len(secrets) < 40 || out.Len() < 10_000 {
		t.Errorf("%d secrets, %d bytes printed: this proves little", len(secrets), out.Len())
	}
}

// measured has the events printed, and returns what prints the spans and the
// metrics that were made of them.
func (w *world) measured(out *bytes.Buffer) (print func()) {
	spans, metrics := tracetest.NewSpanRecorder(), metric.NewManualReader()
	observer := &telemetry.Observer{
		TracerProvider: trace.NewTracerProvider(trace.WithSpanProcessor(spans)),
		MeterProvider:  metric.NewMeterProvider(metric.WithReader(metrics)),
	}
	var mu sync.Mutex
	w.auth.Coordinator.Observe = func(ctx context.Context, e event.Event) {
		mu.Lock()
		defer mu.Unlock()
		// A request that is traced is somebody else's business: here all are.
		ctx, span := observer.TracerProvider.Tracer("test").Start(ctx, "request")
		defer span.End()
		fmt.Fprintf(out, "%+v %#v %v\n", e, e, e.Err)
		observer.Observe(ctx, e)
	}
	return func() {
		mu.Lock()
		defer mu.Unlock()
		var all metricdata.ResourceMetrics
		if err := metrics.Collect(w.t.Context(), &all); err != nil || len(all.ScopeMetrics) != 1 || len(all.ScopeMetrics[0].Metrics) < 6 {
			w.t.Errorf("%v, or few metrics: %v", err, all)
		}
		fmt.Fprintf(out, "%+v\n", all)
		json.NewEncoder(out).Encode(all)
		json.NewEncoder(out).Encode(tracetest.SpanStubsFromReadOnlySpans(spans.Ended()))
		if len(spans.Ended()) < 20 {
			w.t.Errorf("only %d spans", len(spans.Ended()))
		}
	}
}

// Errors of the API are answered for what they are; nothing is made of a client
// that has left.
func TestErrorsOfAHandler(t *testing.T) {
	w := start(t)
	for name, row := range map[string]struct {
		err    func(r *http.Request) error
		status int
	}{
		"the API fails":   {func(r *http.Request) error { return statusError(503) }, 502},
		"the API refuses": {func(r *http.Request) error { return statusError(403) }, 500},
		"a page's own":    {func(r *http.Request) error { return io.ErrUnexpectedEOF }, 500},
		"an API that is not there": {func(r *http.Request) error {
			_, err := w.rest.R(r.Context()).Get("http://127.0.0.1:1/")
			return err
		}, 502},
		"an API that always says 401": {func(r *http.Request) error {
			w.api.Refuse(authtest.Refusal{Always: true})
			defer w.api.Refuse(authtest.Refusal{})
			_, err := w.rest.R(r.Context()).Get("/users/me")
			return err
		}, 502},
	} {
		t.Run(name, func(t *testing.T) {
			b := w.serve(w.auth.Handler(w.auth.Boundary(func(rw http.ResponseWriter, r *http.Request) error { return row.err(r) }))).browser()
			b.signedIn("ada")
			if a := b.fetch("/"); a.StatusCode != row.status || a.Header.Get("Cache-Control") != "private, no-store" {
				t.Errorf("%d %v", a.StatusCode, a.Header)
			}
		})
	}
}

// B71, T-G4: an API that rejects what has just been issued is asked no more, by the
// browser neither. It is said so, and nobody is sent to the login page: not by a 401
// either, which a program takes for that.
func TestAnAPIThatAcceptsNothing(t *testing.T) {
	w := start(t)
	w.api.Refuse(authtest.Refusal{Always: true})
	b := w.pages(w.page()).browser()
	b.signedIn("ada")
	if a := b.visit("/"); a.StatusCode != 502 || a.clearsTokens() {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	b = w.pages(w.page()).browser()
	b.signedIn("grace")
	if a := b.fetch("/"); a.StatusCode != 502 || a.Header.Get("WWW-Authenticate") != "" || a.clearsTokens() {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	w.presentations(2)
}

type statusError int

func (e statusError) Error() string   { return "the API answered otherwise" }
func (e statusError) StatusCode() int { return int(e) }
