package recipes_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/tokencache"
	"go.opentelemetry.io/otel/sdk/trace"
)

// signedIn returns the context of a caller whose access token the API rejects.
func (w *world) signedIn(t *testing.T, tracers *trace.TracerProvider) (ctx context.Context, end func()) {
	token := w.as.SignIn("ada")
	w.as.RevokeAccess()
	ctx, span := tracers.Tracer("test").Start(t.Context(), "caller")
	return tokencache.NewContext(ctx, tokencache.New(w.auth.Coordinator, token)), func() { span.End() }
}

// dashboard is what a test needs to know of one of Grafana's.
type dashboard struct {
	Panels []struct {
		Title, Description, Type string
		GridPos                  struct{ X, Y, W, H int }
		Targets                  []struct{ Expr string }
	}
}

var (
	metricName = regexp.MustCompile(`\brebearer_\w+(?:_total|_bucket|_count|_sum)\b`)
	labelName  = regexp.MustCompile(`(rebearer_\w+|error_type|http_\w+)\s*[!=]|by \(([^)]*)\)`)
)

// Whatever the dashboard asks for is in a scrape, labels included, and whatever is
// scraped is in the dashboard.
func TestTheDashboardIsOfWhatIsExported(t *testing.T) {
	w := watch(t, stormy(3))
	w.allKinds(t)
	exported, labels := map[string]bool{}, map[string]map[string]bool{}
	for _, s := range w.samples(t) {
		exported[s.name] = true
		if labels[s.name] == nil {
			labels[s.name] = map[string]bool{}
		}
		for l := range s.labels {
			labels[s.name][l] = true
		}
	}
	text, err := os.ReadFile("observability/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, p := range d.Panels {
		if p.Title == "" || p.Description == "" || p.GridPos.X+p.GridPos.W > 24 || len(p.Targets) == 0 {
			t.Errorf("panel %+v", p)
		}
		for _, target := range p.Targets {
			names := metricName.FindAllString(target.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s asks for nothing of ours: %s", p.Title, target.Expr)
			}
			for _, name := range names {
				if asked[family(name)] = true; !exported[name] {
					t.Errorf("%s asks for %s, which is not exported", p.Title, name)
				}
			}
			for _, m := range labelName.FindAllStringSubmatch(target.Expr, -1) {
				for label := range strings.SplitSeq(m[1]+m[2], ", ") {
					if !labels[names[0]][label] {
						t.Errorf("%s asks for the label %s, which %s has not", p.Title, label, names[0])
					}
				}
			}
		}
	}
	for name := range exported {
		if !asked[family(name)] {
			t.Errorf("%s is in no panel", name)
		}
	}
	if len(asked) != 9 {
		t.Errorf("%d metrics, want 9: %v", len(asked), asked)
	}
}

// family is a metric's name without what its kind appends.
func family(name string) string {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

// allKinds has all happen that there is a metric for.
func (w *watched) allKinds(t *testing.T) {
	t.Helper()
	w.together(3)
	w.must(w.get("/storm"), http.StatusOK, "")
	w.as.RevokeAccess()
	w.must(w.get("/stream"), http.StatusOK, "ada") // parked
	w.as.RevokeAccess()
	w.as.FailNext(1, authtest.Answer(http.StatusInternalServerError, nil, ""))
	if a := w.get("/me"); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a server that fails: %d", a.StatusCode)
	}
	w.must(w.do("POST", "/logout", nil, http.Header{"Sec-Fetch-Site": {"same-origin"}}), http.StatusNoContent, "")
	shown, now := w.as.SignIn("grace"), time.Now()
	near := tokencache.NewToken(tokencache.TokenFields{
		Access: shown.Access(), Refresh: shown.Refresh(), Issued: now.Add(-time.Hour), Expiry: now.Add(10 * time.Second),
	})
	if _, err := tokencache.New(w.auth.Coordinator, near).Fresh(t.Context()); err != nil {
		t.Error(err)
	}
	if err := w.auth.Coordinator.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}
