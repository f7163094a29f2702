package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// event is something that happened. It names methods, paths and statuses; no
// token, no query and no body ever gets here.
type event struct {
	Seq  int64  `json:"seq"`
	Time string `json:"time"`
	Lane string `json:"lane"` // who spoke to whom
	Kind string `json:"kind"` // what the page counts and colours
	Text string `json:"text"`
}

// Lanes.
const (
	laneBrowser = "browser to BFF"
	laneAPI     = "BFF to API"
	laneAS      = "BFF to AS"
	laneStore   = "BFF to store"
	laneDemo    = "demo"
)

// kept is how many events are remembered. Whoever falls behind that misses
// some, and holds up nobody.
const kept = 500

// timeline is what the page shows: the newest events of everybody. Whoever is
// signed in sees the paths that others call, which suits a demo and little else.
type timeline struct {
	mu     sync.Mutex
	ring   [kept]event
	newest int64         // Seq of the newest event; the first is 1
	news   chan struct{} // closed by the next event
	visits int64
	closed chan struct{}
	once   sync.Once
}

func newTimeline() *timeline {
	return &timeline{news: make(chan struct{}), closed: make(chan struct{})}
}

// close ends all streams of events, for which a shutdown would wait.
func (t *timeline) close() { t.once.Do(func() { close(t.closed) }) }

func (t *timeline) add(lane, kind, format string, a ...any) {
	e := event{Time: time.Now().Format("15:04:05.000"), Lane: lane, Kind: kind, Text: fmt.Sprintf(format, a...)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.newest++
	e.Seq = t.newest
	t.ring[e.Seq%kept] = e
	close(t.news)
	t.news = make(chan struct{})
}

// since returns the events after the one with that Seq, as far as they are
// remembered, and a channel that is closed when there are more.
func (t *timeline) since(after int64) ([]event, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if after > t.newest {
		after = 0 // it was an earlier process that counted so far
	}
	after = max(after, t.newest-kept)
	events := make([]event, 0, t.newest-after)
	for seq := after + 1; seq <= t.newest; seq++ {
		events = append(events, t.ring[seq%kept])
	}
	return events, t.news
}

const (
	heartbeat = 15 * time.Second
	stalled   = 10 * time.Second // how long one write may take
)

// ServeHTTP streams the events (https://html.spec.whatwg.org, «Server-sent
// events»), from the last one on that the browser has seen.
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
		events, news := t.since(max(after, 0))
		// A browser that does not read, as on a phone that sleeps, is let go.
		rc.SetWriteDeadline(time.Now().Add(stalled))
		fmt.Fprint(w, ": still here\n\n")
		for _, e := range events {
			text, err := json.Marshal(e)
			if err != nil {
				return
			}
			fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.Seq, text)
			after = e.Seq
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
