package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestThePageSaysThatNothingIsShared(t *testing.T) {
	w := start(t, nil)
	w.signIn("alice")
	body := w.navigate("/").body
	if !strings.Contains(body, "store: memory") || !strings.Contains(body, "sessions are this process&#39;s own") {
		t.Errorf("it does not: %s", body)
	}
}

// The timeline shows what happened, and not by what token.
func TestTheTimeline(t *testing.T) {
	w := start(t, nil)
	w.signIn("alice")
	secrets := []string{w.cookie("accessToken"), w.cookie("refreshToken")}
	w.demo.as.RevokeAccess()
	w.want(w.fetch("/fanout?n=3&secret=query"), http.StatusOK)
	secrets = append(secrets, w.cookie("accessToken"), w.cookie("refreshToken"), "secret=query")

	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, "GET", w.url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	kinds := map[string]int{}
	for lines := bufio.NewScanner(resp.Body); kinds["cookies"] < 2 && lines.Scan(); {
		for _, s := range secrets {
			if strings.Contains(lines.Text(), s) {
				t.Error("a token or a query is in an event")
			}
		}
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var e event
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				t.Fatal(err)
			}
			kinds[e.Kind]++
		}
	}
	// A call that knows that its token is being replaced waits, and is sent once.
	calls := kinds["call"] + kinds["unauthorized"]
	if calls != 3 || kinds["unauthorized"] == 0 || kinds["replay"] != kinds["unauthorized"] {
		t.Errorf("three calls are not three calls: %v", kinds)
	}
	for kind, n := range map[string]int{"start": 2, "signin": 1, "presented": 1, "exchanged": 1, "cookies": 2} {
		if kinds[kind] != n {
			t.Errorf("%d events of kind %s, want %d: %v", kinds[kind], kind, n, kinds)
		}
	}
}

func TestTheTimelineForgets(t *testing.T) {
	tl := newTimeline()
	for range 3 * kept {
		tl.add(laneDemo, "demo", "something")
	}
	events, news := tl.since(1)
	if len(events) != kept || events[0].Seq != 2*kept+1 || events[kept-1].Seq != 3*kept {
		t.Errorf("%d events from %d on", len(events), events[0].Seq)
	}
	if events, _ := tl.since(99 * kept); len(events) != kept {
		t.Errorf("%d events for who has seen another process", len(events))
	}
	select {
	case <-news:
		t.Error("there is nothing new")
	default:
	}
	tl.add(laneDemo, "demo", "something")
	<-news
}
