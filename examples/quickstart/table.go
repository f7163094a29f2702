package main

import (
	"fmt"
	"time"
)

const heading = "" +
	"what was done                        calls ok  left  refreshes  presented  reused  replays      wall    ideal\n" +
	"-----------------------------------  --------  ----  ---------  ---------  ------  -------  --------  -------\n"

func (s *scene) row(ideal time.Duration) string {
	return fmt.Sprintf("%-35s  %8d  %4d  %9d  %9d  %6d  %7d  %5d ms %5d ms", s.title, s.ok.Load(), s.left.Load(),
		s.as.Refreshes, s.as.Presentations, s.as.Reuses, s.replays(), s.wall.Milliseconds(), (ideal + s.delay).Milliseconds())
}

// replays is how many requests were sent beside the calls that were made.
func (s *scene) replays() int { return s.api.Requests - int(s.attempts.Load()) }

// wrong returns what is not as it must be.
func (d *demo) wrong(s *scene) (wrong []string) {
	must := func(what string, got, low, high int) {
		if got < low || got > high {
			wrong = append(wrong, fmt.Sprintf("%s: %d, not %d to %d", what, got, low, high))
		}
	}
	users, calls := len(d.users), d.calls()
	must("calls ok", int(s.ok.Load()), calls-s.leavers, calls-s.leavers)
	must("callers that left", int(s.left.Load()), s.leavers, s.leavers)
	must("calls refused", int(s.refused.Load()), 0, 0)
	must("refreshes", s.as.Refreshes, users, users)
	must("presentations", s.as.Presentations, users, users+s.failures)
	must("reuses", s.as.Reuses, 0, 0)
	must("calls with somebody else's token", s.api.Mixed, 0, 0)
	must("requests that were served", s.api.OK, calls-s.leavers, calls)
	// Nothing is sent twice but what was answered 401. Whoever knew that the
	// token was being replaced has waited instead.
	must("replays", s.replays(), 1, min(calls, s.api.Unauthorized))
	if s.unequal.Load() {
		wrong = append(wrong, "a body did not arrive as it was sent")
	}
	for _, u := range d.users {
		if !d.as.Alive(u.token.Refresh()) {
			wrong = append(wrong, u.name+" has lost the session")
		}
	}
	return wrong
}
