package recipes_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/telemetry"
	"github.com/rebearer/rebearer/transport"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// watched is a site with a scrape and spans.
type watched struct {
	*world
	*browser
	spans  *tracetest.InMemoryExporter
	scrape string // its URL
	served <-chan struct{}
}

func watch(t *testing.T, site func(*middleware.Authenticator, *client.Client) http.Handler) *watched {
	t.Helper()
	w, spans := start(t), tracetest.NewInMemoryExporter()
	tracers := trace.NewTracerProvider(trace.WithSyncer(spans))
	pages, metrics, err := recipes.Observability(w.auth, w.api.URL, w.base, tracers, site)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(metrics)
	t.Cleanup(srv.Close)
	h, served := ending(pages)
	return &watched{w, w.browse(h), spans, srv.URL, served}
}

// sample is a line of a scrape.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

func (s sample) String() string {
	var labels []string
	for name, value := range s.labels {
		labels = append(labels, fmt.Sprintf("%s=%q", name, value))
	}
	slices.Sort(labels)
	return fmt.Sprintf("%s{%s} %v", s.name, strings.Join(labels, ","), s.value)
}

// samples are what Prometheus would get of us now.
func (w *watched) samples(t *testing.T) (all []sample) {
	t.Helper()
	resp, err := http.Get(w.scrape)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	for line := range strings.Lines(string(text)) {
		before, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		name, labels, _ := strings.Cut(before, "{")
		if !ok || !strings.HasPrefix(name, "rebearer_") {
			continue
		}
		s := sample{name: name, labels: map[string]string{}}
		if s.value, err = strconv.ParseFloat(value, 64); err != nil {
			t.Fatal(line, err)
		}
		for pair := range strings.SplitSeq(labels, ",") {
			if key, quoted, _ := strings.Cut(pair, "="); !strings.HasPrefix(key, "otel_scope_") {
				s.labels[key] = strings.Trim(quoted, `"`)
			}
		}
		all = append(all, s)
	}
	return all
}

// sum adds up the samples of a name with these labels, which come in pairs.
func sum(all []sample, name string, labels ...string) (n float64) {
	for _, s := range all {
		fits := s.name == name
		for i := 0; i < len(labels); i += 2 {
			fits = fits && s.labels[labels[i]] == labels[i+1]
		}
		if fits {
			n += s.value
		}
	}
	return n
}

// stormy is a site with a page that makes n calls of the API at once.
func stormy(n int) func(*middleware.Authenticator, *client.Client) http.Handler {
	return func(auth *middleware.Authenticator, api *client.Client) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/", recipes.NetHTTP(auth, api))
		mux.Handle("GET /storm", auth.Handler(auth.Boundary(func(w http.ResponseWriter, r *http.Request) error {
			var calls sync.WaitGroup
			failed := make(chan error, n)
			for range n {
				calls.Go(func() {
					if _, err := api.R(r.Context()).Get("/users/me"); err != nil {
						failed <- err
					}
				})
			}
			calls.Wait()
			close(failed)
			return <-failed
		})))
		return mux
	}
}

// together has the API answer the next n calls when all have arrived, so that each
// of them meets the end of the token.
func (w *world) together(n int) {
	var all sync.WaitGroup
	all.Add(n)
	arrived := make(chan struct{}, n)
	w.api.Intercept(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case arrived <- struct{}{}:
			all.Done()
			all.Wait()
		default:
		}
		next.ServeHTTP(rw, r)
	})
}

// B14: one storm, as an operator sees it. With -v it prints the scrape and the traces.
func TestObservabilityOfOneStorm(t *testing.T) {
	const n = 50
	w := watch(t, stormy(n))
	w.spans.Reset() // of the sign-in
	for len(w.served) > 0 {
		<-w.served
	}
	w.together(n)
	w.must(w.get("/storm"), http.StatusOK, "")
	<-w.served
	w.once()

	scrape := w.samples(t)
	t.Log("the scrape:")
	for _, s := range scrape {
		if !strings.HasSuffix(s.name, "_bucket") {
			t.Log(s)
		}
	}
	for name, row := range map[string]struct{ got, want float64 }{
		"presentations":                             {sum(scrape, "rebearer_refresh_presentations_total", "rebearer_outcome", "stored"), 1},
		"presentations whatever came of them":       {sum(scrape, "rebearer_refresh_presentations_total"), 1},
		"adoptions":                                 {sum(scrape, "rebearer_refresh_adoptions_total"), n - 1},
		"replays":                                   {sum(scrape, "rebearer_replays_total", "rebearer_outcome", "answered", "http_response_status_code", "200"), n},
		"replays whatever came of them":             {sum(scrape, "rebearer_replays_total"), n},
		"waits":                                     {sum(scrape, "rebearer_refresh_wait_duration_seconds_count"), n},
		"waits in the last bucket":                  {sum(scrape, "rebearer_refresh_wait_duration_seconds_bucket", "le", "+Inf"), n},
		"waits of who presented":                    {sum(scrape, "rebearer_refresh_wait_duration_seconds_count", "rebearer_outcome", "presented"), 1},
		"exchanges":                                 {sum(scrape, "rebearer_refresh_exchange_duration_seconds_count"), 1},
		"responses that hand over":                  {sum(scrape, "rebearer_responses_delivered_total"), 1},
		"responses that park":                       {sum(scrape, "rebearer_responses_parked_total"), 0},
		"sessions that were ended":                  {sum(scrape, "rebearer_sessions_ended_total"), 0},
		"waits of all that are not who presented":   {sum(scrape, "rebearer_refresh_wait_duration_seconds_count", "rebearer_outcome", "joined") + sum(scrape, "rebearer_refresh_wait_duration_seconds_count", "rebearer_outcome", "adopted"), n - 1},
		"presentations that the server has counted": {float64(w.as.Counts().Presentations), 1},
	} {
		if row.got != row.want {
			t.Errorf("%s: %v, want %v", name, row.got, row.want)
		}
	}
	w.wantTraces(t, n, sum(scrape, "rebearer_refresh_adoptions_total", "rebearer_outcome", "joined"))
}

// wantTraces checks the two traces of a storm: that of the page, with all that its
// calls did, and that of the exchange, to which those who waited have links.
func (w *watched) wantTraces(t *testing.T, n int, joined float64) {
	t.Helper()
	spans := w.spans.GetSpans()
	t.Log("the traces:")
	for _, line := range tree(spans, oteltrace.SpanID{}, "") {
		t.Log(line)
	}
	count, links := map[string]int{}, 0
	var page, exchange tracetest.SpanStub
	for _, s := range spans {
		count[title(s)]++
		links += len(s.Links)
		switch {
		case s.SpanKind == oteltrace.SpanKindServer:
			page = s
		case s.Name == "rebearer.exchange":
			exchange = s
		}
	}
	for _, s := range spans {
		root := s.SpanContext.Equal(page.SpanContext) || s.SpanContext.Equal(exchange.SpanContext)
		if !root && s.Parent.SpanID() != page.SpanContext.SpanID() {
			t.Errorf("%s is no child of the page", title(s))
		}
		for _, l := range s.Links {
			if !l.SpanContext.Equal(exchange.SpanContext) {
				t.Errorf("%s has a link elsewhere", title(s))
			}
		}
	}
	if exchange.Parent.IsValid() || exchange.SpanContext.TraceID() == page.SpanContext.TraceID() {
		t.Error("the exchange is in the trace of the page")
	}
	for what, want := range map[string]int{
		"HTTP GET 401": n, "HTTP GET 200": n, "rebearer.replay answered 200": n, "rebearer.exchange stored": 1, "rebearer.wait presented": 1,
	} {
		if count[what] != want {
			t.Errorf("%d spans of %s, want %d: %v", count[what], what, want, count)
		}
	}
	if links != int(joined)+1 {
		t.Errorf("%d links, want those of %v that joined and of one that presented", links, joined)
	}
}

// tree prints what is under a span, and like next to like.
func tree(spans tracetest.SpanStubs, parent oteltrace.SpanID, indent string) (lines []string) {
	n, first := map[string]int{}, map[string]string{}
	var order []string
	slices.SortFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	for _, s := range spans {
		if s.Parent.SpanID() != parent {
			continue
		}
		line := indent + title(s)
		if len(s.Links) > 0 {
			line += ", linked to " + s.Links[0].SpanContext.TraceID().String()[:8]
		}
		if !s.Parent.IsValid() {
			line += ", trace " + s.SpanContext.TraceID().String()[:8]
		}
		if n[line]++; n[line] == 1 {
			order = append(order, line)
			first[line] = strings.Join(tree(slices.Clone(spans), s.SpanContext.SpanID(), indent+"  "), "\n")
		}
	}
	for _, line := range order {
		lines = append(lines, fmt.Sprintf("%s ×%d", line, n[line]))
		if first[line] != "" {
			lines = append(lines, strings.Split(first[line], "\n")...)
		}
	}
	return lines
}

// title is a span's name, with what tells it from others of the name.
func title(s tracetest.SpanStub) string {
	words := []string{s.Name}
	for _, key := range []string{"rebearer.outcome", "error.type", "http.response.status_code"} {
		for _, a := range s.Attributes {
			if string(a.Key) == key && !(key == "error.type" && s.Name == "HTTP GET") {
				words = append(words, a.Value.String())
			}
		}
	}
	return strings.Join(words, " ")
}

// Where otelhttp has its place, by what it sees of one call that is replayed.
func TestWhereOTelHTTPSeesBothAttempts(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	tracers := trace.NewTracerProvider(trace.WithSyncer(spans))
	traced := func(base http.RoundTripper) http.RoundTripper {
		return otelhttp.NewTransport(base, otelhttp.WithTracerProvider(tracers))
	}
	signed := func(w *world, base http.RoundTripper) http.RoundTripper {
		return &transport.Transport{Base: base, Origins: []string{w.api.URL}}
	}
	for name, row := range map[string]struct {
		wire func(*world) http.RoundTripper
		want []string
	}{
		"below the Transport, each attempt is under the caller's span": {
			func(w *world) http.RoundTripper { return signed(w, traced(w.base)) },
			[]string{"caller ×1", "  HTTP GET 401 ×1", "  rebearer.wait presented ×1", "  rebearer.replay answered 200 ×1", "  HTTP GET 200 ×1"},
		},
		"around it, the 401 is not seen": {
			func(w *world) http.RoundTripper { return traced(signed(w, w.base)) },
			[]string{"caller ×1", "  HTTP GET 200 ×1", "    rebearer.wait presented ×1", "    rebearer.replay answered 200 ×1"},
		},
		"both, and what belongs to one call is under one span": {
			func(w *world) http.RoundTripper { return traced(signed(w, traced(w.base))) },
			[]string{"caller ×1", "  HTTP GET 200 ×1", "    HTTP GET 401 ×1", "    rebearer.wait presented ×1", "    rebearer.replay answered 200 ×1", "    HTTP GET 200 ×1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			w.auth.Coordinator.Observe = (&telemetry.Observer{TracerProvider: tracers}).Observe
			api := client.New(w.api.URL, row.wire(w))
			ctx, end := w.signedIn(t, tracers)
			spans.Reset()
			if _, err := api.R(ctx).Get("/users/me"); err != nil {
				t.Fatal(err)
			}
			end()
			var got []string
			for _, line := range tree(spans.GetSpans(), oteltrace.SpanID{}, "") {
				line, _, _ := strings.Cut(strings.Replace(line, " ×1", "", 1), ", ")
				if line += " ×1"; !strings.HasPrefix(line, "rebearer.exchange") {
					got = append(got, line)
				}
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(row.want, "\n"))
			}
		})
	}
}
