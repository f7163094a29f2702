package telemetry_test

import (
	"context"
	"log/slog"
	"os"

	"github.com/rebearer/rebearer/telemetry"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/event"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/transport"
)

func ExampleObserver() {
	as := &transport.TokenEndpoint{URL: "https://as.example.com/token", ClientID: "bff"}
	observer := &telemetry.Observer{} // of the global providers
	coordinator := &tokencache.Coordinator{
		Refresher: as, Revoker: as,
		Log:     slog.New(slog.NewJSONHandler(os.Stderr, nil)),
		Observe: observer.Observe,
	}
	_ = coordinator
}

// alarm is an observer without OpenTelemetry.
func alarm(page func(string)) func(context.Context, event.Event) {
	return func(_ context.Context, e event.Event) {
		switch {
		case e.Kind == event.Presentation && e.Reason.Misconfigured():
			page("nobody can be refreshed: " + string(e.Reason))
		case e.Kind == event.Ended && e.Reason == reason.Ambiguous:
			page("a session was lost")
		}
	}
}

// both is how two observe.
func both(first, second func(context.Context, event.Event)) func(context.Context, event.Event) {
	return func(ctx context.Context, e event.Event) {
		first(ctx, e)
		second(ctx, e)
	}
}

func Example_withoutOpenTelemetry() {
	observer := &telemetry.Observer{}
	coordinator := &tokencache.Coordinator{Observe: both(observer.Observe, alarm(func(text string) { slog.Error(text) }))}
	_ = coordinator
}
