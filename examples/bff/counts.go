package main

import (
	"encoding/json"

	"github.com/rebearer/rebearer/tokencache/event"
)

// counts are the figures of the page, since the program began.
type counts struct {
	// By the API and the authorization server, if they are in this process, and
	// otherwise as we have met them.
	Calls         int `json:"calls"`
	Unauthorized  int `json:"unauthorized"`
	Presentations int `json:"presentations"`
	Reuses        int `json:"reuses"` // refresh tokens that were shown twice

	// As the Coordinators have told.
	Replays   int `json:"replays"`
	Delivered int `json:"delivered"`
	Parked    int `json:"parked"`
	Ended     int `json:"ended"`
}

// counted returns what the timeline itself knows.
func (t *timeline) counted() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := func(k event.Kind) int { return t.kinds[string(k)] }
	return counts{
		Calls:         t.kinds[kindCall] + t.kinds[kindUnauthorized] + of(event.Replay),
		Unauthorized:  t.kinds[kindUnauthorized],
		Presentations: t.kinds[kindPresenting],
		Replays:       of(event.Replay), Delivered: of(event.Delivered), Parked: of(event.Parked), Ended: of(event.Ended),
	}
}

// counted puts in what the servers say: they count what has arrived.
func (d *demo) counted() counts {
	c, as, api := d.timeline.counted(), d.as.Counts(), d.api.Counts()
	c.Calls, c.Unauthorized = api.Requests, api.Unauthorized
	c.Presentations, c.Reuses = as.Presentations, as.Reuses
	return c
}

// state is what has happened up to the entry with the number Seq.
type state struct {
	Seq     int64  `json:"seq"`
	Running int    `json:"running"` // requests of browsers
	Counts  counts `json:"counts"`
}

// state is counted after the entries, so that whoever has those has no more than
// the counts say.
func (t *timeline) state() state {
	t.mu.Lock()
	s := state{Seq: t.newest, Running: t.running}
	t.mu.Unlock()
	s.Counts = t.counts()
	return s
}

// beginning is what the page begins with.
type beginning struct {
	state
	Entries []entry `json:"entries"`
}

// JSON is for an attribute of the page: a policy that allows no inline script has
// nothing against that.
func (b beginning) JSON() (string, error) {
	text, err := json.Marshal(b)
	return string(text), err
}
