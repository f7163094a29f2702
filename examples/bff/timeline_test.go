package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestThePageSaysThatNothingIsShared(t *testing.T) {
	w := start(t, nil)
	w.signIn("alice")
	body := w.navigate("/").body
	if !strings.Contains(body, "store: memory") || !strings.Contains(body, "Sessions are this process&#39;s own") {
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
	for lines := bufio.NewScanner(resp.Body); kinds["end"] < 2 && lines.Scan(); {
		for _, s := range secrets {
			if strings.Contains(lines.Text(), s) {
				t.Error("a token or a query is in an entry")
			}
		}
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var e entry
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				t.Fatal(err)
			}
			kinds[e.Kind]++
		}
	}
	// A call that knows that its token is being replaced waits, and is sent once.
	calls := kinds["call"] + kinds["unauthorized"]
	if calls != 3 || kinds["unauthorized"] == 0 || kinds["replay"] != kinds["unauthorized"] || kinds["served"] == 0 {
		t.Errorf("three calls are not three calls: %v", kinds)
	}
	for kind, n := range map[string]int{"start": 2, "end": 2, "signin": 1, "presenting": 1, "presentation": 1, "delivered": 1, "parked": 0} {
		if kinds[kind] != n {
			t.Errorf("%d entries of kind %s, want %d: %v", kinds[kind], kind, n, kinds)
		}
	}
}

// The figures are those of the servers, and of what the Coordinators tell.
func TestTheCountsAreThoseOfTheServers(t *testing.T) {
	for tokens, handed := range map[string]int{tokensPlain: 1, tokensSealed: 1, tokensSessions: 1} {
		w := start(t, map[string]string{"BFF_TOKENS": tokens})
		w.signIn("alice")
		w.want(w.submit("/demo/expire", nil), http.StatusSeeOther)
		allAre(t, crowd(10, w), "alice")
		w.want(w.submit("/logout", nil), http.StatusSeeOther)
		var now state
		if err := json.Unmarshal([]byte(w.fetch("/demo/counts").body), &now); err != nil {
			t.Fatal(err)
		}
		c, as, api := now.Counts, w.demo.as.Counts(), w.demo.api.Counts()
		if c.Calls != api.Requests || c.Unauthorized != api.Unauthorized || c.Presentations != as.Presentations || c.Reuses != as.Reuses {
			t.Errorf("%s: %+v, but the servers have counted %+v and %+v", tokens, c, as, api.Tally)
		}
		if c.Presentations != 1 || c.Reuses != 0 || c.Ended != 1 || c.Parked != 0 || c.Delivered < handed || c.Replays != c.Unauthorized || now.Running != 0 {
			t.Errorf("%s: %+v, and %d are under way", tokens, c, now.Running)
		}
		if own := w.timeline.counted(); own.Calls != c.Calls || own.Presentations != c.Presentations {
			t.Errorf("%s: the timeline has met %+v, and the servers say %+v", tokens, own, c)
		}
	}
}

func TestTheTimelineForgets(t *testing.T) {
	tl := newTimeline()
	add := func() { tl.add(entry{Kind: kindDemo}, time.Time{}, "something") }
	for range 3 * kept {
		add()
	}
	entries, news := tl.since(1)
	if len(entries) != kept || entries[0].Seq != 2*kept+1 || entries[kept-1].Seq != 3*kept {
		t.Errorf("%d entries from %d on", len(entries), entries[0].Seq)
	}
	if entries, _ := tl.since(99 * kept); len(entries) != kept {
		t.Errorf("%d entries for who has seen another process", len(entries))
	}
	select {
	case <-news:
		t.Error("there is nothing new")
	default:
	}
	add()
	<-news
}
