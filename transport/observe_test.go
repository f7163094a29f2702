package transport_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/tokencache/event"
)

// observed returns what a rig is told of, but for the time that it took.
func (r *rig) observed(t *testing.T) func() []string {
	told := make(chan string, 100)
	type key struct{}
	r.ctx = context.WithValue(r.ctx, key{}, true)
	r.coordinator.Observe = func(ctx context.Context, e event.Event) {
		if e.Kind == event.Replay && (ctx.Value(key{}) == nil || e.Began.IsZero() || e.Err != nil) {
			t.Errorf("%+v, in %v", e, ctx)
		}
		told <- strings.TrimRight(fmt.Sprintf("%s %s %s %d", e.Kind, e.Outcome, e.Reason, e.Status), " 0")
	}
	return func() (all []string) {
		for range len(told) {
			all = append(all, <-told)
		}
		return all
	}
}

func TestWhatIsToldOfAReplay(t *testing.T) {
	for name, row := range map[string]struct {
		api  func(w http.ResponseWriter, leave func())
		want string
	}{
		"the API answers":             {func(w http.ResponseWriter, _ func()) { w.WriteHeader(204) }, "replay answered  204"},
		"the API has another trouble": {func(w http.ResponseWriter, _ func()) { w.WriteHeader(503) }, "replay answered  503"},
		"the API rejects it, too":     {func(w http.ResponseWriter, _ func()) { unauthorized(w) }, "replay rejected  401"},
		"the API does not answer":     {func(http.ResponseWriter, func()) { panic(http.ErrAbortHandler) }, "replay failed"},
		"the caller leaves": {func(_ http.ResponseWriter, leave func()) {
			leave()
			panic(http.ErrAbortHandler)
		}, "replay left"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, leave := context.WithCancel(t.Context())
			left := make(chan struct{})
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				if stale(r) {
					unauthorized(w)
					return
				}
				row.api(w, func() { leave(); <-left })
			})
			observed := r.observed(t)
			req := newRequest(r.ctx, "GET", r.url, nil)
			req = req.WithContext(cancelled{r.ctx, ctx})
			try(r.client, req)
			close(left)
			leave()
			if got, want := observed(), []string{"presentation stored", "served presented", row.want}; !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// cancelled has the values of one context and the end of another.
type cancelled struct {
	context.Context
	ends context.Context
}

func (c cancelled) Done() <-chan struct{} { return c.ends.Done() }
func (c cancelled) Err() error            { return c.ends.Err() }

// A request whose token works, one that needs no signature, and one that cannot be
// sent again have no replay, and the first two nothing to tell.
func TestWhatIsNotToldOfARequest(t *testing.T) {
	r := newRig(t, echo)
	observed := r.observed(t)
	r.transport.MaxBody = -1
	req := newRequest(r.ctx, "POST", r.url, unrewindable([]byte("body")))
	wantStatus(t, call(t, r.client, req), 401)
	if got := observed(); !slices.Equal(got, []string{"presentation stored", "served presented"}) {
		t.Errorf("a body that is gone: %q", got)
	}
	wantStatus(t, r.get(t), 200)
	wantStatus(t, call(t, r.client, newRequest(t.Context(), "GET", r.url, nil)), 200)
	if got := observed(); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
