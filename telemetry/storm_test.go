package telemetry_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/event"
	"github.com/rebearer/rebearer/transport"
)

// B14: fifty calls meet the end of their token, over sockets: each is replayed, one
// presents, and the others lead to its exchange.
func TestAStorm(t *testing.T) {
	const n = 50
	as := authtest.NewAS(authtest.ASConfig{})
	defer as.Close()
	api := as.NewAPI()
	defer api.Close()
	l := newLab()
	coordinator := &tokencache.Coordinator{
		Refresher: &transport.TokenEndpoint{URL: as.TokenURL(), ClientID: "bff", Base: as.Transport()},
		Observe:   l.Observe,
	}
	client := &http.Client{Transport: &transport.Transport{Base: api.Transport(), Origins: []string{api.URL}}}
	token := as.SignIn("ada")
	as.RevokeAccess()
	var all, arrived sync.WaitGroup
	arrived.Add(n)
	left := make(chan struct{}, n)
	api.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case left <- struct{}{}: // the first n: nobody is answered before all have arrived
			arrived.Done()
			arrived.Wait()
		default:
		}
		next.ServeHTTP(w, r)
	})
	for range n {
		all.Go(func() {
			ctx, span := l.TracerProvider.Tracer("test").Start(context.Background(), "request")
			defer span.End()
			ctx = tokencache.NewContext(ctx, tokencache.New(coordinator, token))
			req, _ := transport.NewRequest(ctx, "GET", api.URL+"/users/me", nil)
			resp, err := client.Do(req)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("%v, %v", resp, err)
				return
			}
			resp.Body.Close()
		})
	}
	all.Wait()
	coordinator.Wait(t.Context())

	waits, linked, names := map[string]int{}, 0, map[string]int{}
	for _, s := range l.spans.Ended() {
		names[s.Name()]++
		for _, a := range s.Attributes() {
			if s.Name() == "rebearer.wait" && a.Key == "rebearer.outcome" {
				waits[a.Value.AsString()]++
				linked += len(s.Links())
			}
		}
	}
	others := waits[string(event.Joined)] + waits[string(event.Adopted)]
	if names["rebearer.exchange"] != 1 || names["rebearer.wait"] != n || names["rebearer.replay"] != n {
		t.Errorf("spans %v", names)
	}
	if waits["presented"] != 1 || others != n-1 || linked != 1+waits["joined"] {
		t.Errorf("waits %v, %d links", waits, linked)
	}
	points := strings.Join(l.points(t), "\n")
	for _, want := range []string{
		"rebearer.refresh.presentations{rebearer.outcome=stored} = 1",
		"rebearer.refresh.wait.duration{rebearer.outcome=presented} = 1",
		fmt.Sprintf("rebearer.replays{http.response.status_code=200,rebearer.outcome=answered} = %d", n),
	} {
		if !strings.Contains(points, want) {
			t.Errorf("no %s in\n%s", want, points)
		}
	}
	if c := as.Counts(); c.Presentations != 1 {
		t.Errorf("the server saw %d presentations", c.Presentations)
	}
}
