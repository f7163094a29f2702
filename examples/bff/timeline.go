package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// entry is something that happened. It names methods, paths and statuses; no
// token, no query and no body ever gets here.
type entry struct {
	Seq     int64   `json:"seq"`
	At      float64 `json:"at"` // in milliseconds since the program began
	Time    string  `json:"time"`
	Kind    string  `json:"kind"`              // what the page counts and draws
	Replica int     `json:"replica,omitempty"` // whose it is; 0 for none
	Visit   int64   `json:"visit,omitempty"`   // the request of the browser for which it was, and
	Call    int64   `json:"call,omitempty"`    // the call of the API
	Began   float64 `json:"began,omitempty"`   // of what took from then to At
	Status  int     `json:"status,omitempty"`
	What    string  `json:"what,omitempty"` // method and path
	Text    string  `json:"text"`           // a sentence
	Counts  *counts `json:"counts,omitempty"`
}

// Kinds. Those that come from a Coordinator have the words of package event.
const (
	kindStart        = "start"        // of a request of the browser
	kindEnd          = "end"          // of that
	kindCall         = "call"         // the API has answered
	kindUnauthorized = "unauthorized" // with 401, to the first attempt
	kindPresenting   = "presenting"   // a refresh token is sent
	kindRevoked      = "revoked"
	kindSignIn       = "signin"
	kindStore        = "store"
	kindFailed       = "failed"
	kindDemo         = "demo" // what the controls of the page have done
)

// Who is told to the reader of an entry.
func (e entry) Who() string {
	who := "the program"
	if e.Replica > 0 {
		who = fmt.Sprintf("replica %d", e.Replica)
	}
	if e.Visit > 0 {
		return fmt.Sprintf("#%d, %s", e.Visit, who)
	}
	return who
}

// kept is how many entries are remembered. Whoever falls behind that misses
// some, and holds up nobody.
const kept = 500

// timeline is what the page shows: the newest entries of everybody. Whoever is
// signed in sees the paths that others call, which suits a demo and little else.
type timeline struct {
	zero   time.Time
	counts func() counts

	mu      sync.Mutex
	ring    [kept]entry
	newest  int64         // Seq of the newest entry; the first is 1
	news    chan struct{} // closed by the next entry
	visits  int64
	running int            // requests of the browser that are under way
	kinds   map[string]int // how often each was told
	closed  chan struct{}
	once    sync.Once
}

func newTimeline() *timeline {
	t := &timeline{zero: time.Now(), news: make(chan struct{}), closed: make(chan struct{}), kinds: map[string]int{}}
	t.counts = t.counted
	return t
}

// close ends all streams of entries, for which a shutdown would wait.
func (t *timeline) close() { t.once.Do(func() { close(t.closed) }) }

// at is the time in the milliseconds of entries.
func (t *timeline) at(when time.Time) float64 {
	return float64(when.Sub(t.zero).Microseconds()) / 1000
}

// add takes down what ends now, if it has a beginning.
func (t *timeline) add(e entry, began time.Time, format string, a ...any) {
	now := time.Now()
	e.Time, e.Text = now.Format("15:04:05.000"), fmt.Sprintf(format, a...)
	t.mu.Lock()
	defer t.mu.Unlock()
	e.At = t.at(now)
	if !began.IsZero() {
		e.Began = t.at(began)
	}
	t.kinds[e.Kind]++
	t.newest++
	e.Seq = t.newest
	t.ring[e.Seq%kept] = e
	close(t.news)
	t.news = make(chan struct{})
}

// since returns the entries after the one with that Seq, as far as they are
// remembered, and a channel that is closed when there are more.
func (t *timeline) since(after int64) ([]entry, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if after > t.newest {
		after = 0 // it was an earlier process that counted so far
	}
	after = max(after, t.newest-kept)
	entries := make([]entry, 0, t.newest-after)
	for seq := after + 1; seq <= t.newest; seq++ {
		entries = append(entries, t.ring[seq%kept])
	}
	return entries, t.news
}

const (
	heartbeat = 15 * time.Second
	stalled   = 10 * time.Second // how long one write may take
)

// ServeHTTP streams the entries (https://html.spec.whatwg.org, «Server-sent
// events»), from the last one on that the browser has seen, and the counts with
// them.
func (t *timeline) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		last = r.FormValue("after")
	}
	after, _ := strconv.ParseInt(last, 10, 64) // what is no number is the beginning
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep them until there is a bufferful
	rc := http.NewResponseController(w)
	defer rc.SetWriteDeadline(time.Time{}) // the connection may serve other requests
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		entries, news := t.since(max(after, 0))
		// A browser that does not read, as on a phone that sleeps, is let go.
		rc.SetWriteDeadline(time.Now().Add(stalled))
		fmt.Fprint(w, ": still here\n\n")
		for _, e := range entries {
			text, err := json.Marshal(e)
			if err != nil {
				return
			}
			fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.Seq, text)
			after = e.Seq
		}
		if text, err := json.Marshal(t.counts()); err == nil && len(entries) > 0 {
			fmt.Fprintf(w, "event: counts\ndata: %s\n\n", text)
		}
		if rc.Flush() != nil {
			return
		}
		select {
		case <-news:
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-t.closed:
			return
		}
	}
}
