package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Wherever the tokens live, a session outlives them, and a logout ends it; and by
// as many replicas as there may be.
func TestASessionWhereverTheTokensLive(t *testing.T) {
	for tokens, words := range map[string]string{
		tokensPlain:    "in cookies that no script can read",
		tokensSealed:   "in a sealed cookie",
		tokensSessions: "in a session on the server",
	} {
		for _, replicas := range []int{1, 2, maxReplicas} {
			t.Run(tokens+", "+strconv.Itoa(replicas), func(t *testing.T) {
				w := start(t, map[string]string{"BFF_TOKENS": tokens, "BFF_REPLICAS": strconv.Itoa(replicas)})
				w.signIn("alice")
				if body := w.navigate("/").body; !strings.Contains(body, words) {
					t.Errorf("the page does not say %q", words)
				}
				for round := 1; round <= 2; round++ {
					w.demo.as.RevokeAccess()
					allAre(t, crowd(12, w), "alice")
					w.presented(w.demo.as, round)
				}
				if plain := w.cookie("accessToken") != ""; plain != (tokens == tokensPlain) {
					t.Errorf("there is an access token in a cookie of its own: %t", plain)
				}
				w.want(w.submit("/logout", nil), http.StatusSeeOther)
				w.want(w.navigate("/"), http.StatusSeeOther)
				if w.demo.as.Counts().Revocations == 0 {
					t.Error("the authorization server was not told of the logout")
				}
			})
		}
	}
}

// What the page does about this browser's own tokens, it does wherever they are.
func TestASessionThatIsEndedElsewhereWhereverTheTokensLive(t *testing.T) {
	for _, tokens := range []string{tokensPlain, tokensSealed, tokensSessions} {
		w := start(t, map[string]string{"BFF_TOKENS": tokens})
		w.want(w.submit("/demo/end", nil), http.StatusSeeOther)
		w.signIn("alice")
		w.want(w.navigate("/"), http.StatusOK)
		w.want(w.submit("/demo/end", nil), http.StatusSeeOther)
		w.want(w.navigate("/"), http.StatusSeeOther)
		w.presented(w.demo.as, 1)
		status := http.StatusConflict
		if tokens == tokensPlain {
			status = http.StatusSeeOther
		}
		w.want(w.submit("/demo/forget", nil), status)
	}
}

// Requests take turns, so that one browser meets all replicas.
func TestReplicasTakeTurns(t *testing.T) {
	w := start(t, map[string]string{"BFF_REPLICAS": "3"})
	w.signIn("alice")
	for range 6 {
		w.want(w.navigate("/tab/1"), http.StatusOK)
	}
	seen := map[int]int{}
	entries, _ := w.timeline.since(0)
	for _, e := range entries {
		if e.Kind == kindStart && e.What == "GET /tab/1" {
			seen[e.Replica]++
		}
	}
	if seen[1] != 2 || seen[2] != 2 || seen[3] != 2 {
		t.Errorf("the replicas had %v", seen)
	}
}
