package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/rebearer/rebearer/tokencache/event"
)

// observe is the Coordinator's Observe: it takes down what that tells of itself,
// of its Transport and of its Authenticator, in words for the page.
func (b *replica) observe(ctx context.Context, told event.Event) {
	e := about(ctx, string(told.Kind))
	if e.Replica = b.number; told.Kind == event.Replay {
		e.Status = told.Status
	}
	text := b.words(told)
	if told.Kind == event.Presentation && (told.Outcome == event.Stored || told.Outcome == event.Unstored) {
		e.Status = http.StatusOK
	}
	b.timeline.add(e, told.Began, "%s", text)
}

func (b *replica) words(told event.Event) string {
	ms := told.Took.Milliseconds()
	switch told.Kind {
	case event.Presentation:
		return presentation(told)
	case event.Served:
		return served(told)
	case event.Ahead:
		return fmt.Sprintf("The access token was to end soon, and was renewed ahead of that: %s after %d ms.", told.Outcome, ms)
	case event.Replay:
		if told.Status == 0 {
			return "The call is sent again with the new token, and gets no answer."
		}
		return fmt.Sprintf("The call is sent again with the new token, and answered %s.", status(told.Status))
	case event.Delivered:
		if b.tokens == tokensSessions {
			return "The new tokens are in the session on the server. The browser need not know."
		}
		return "The new tokens go to the browser with this answer, in cookies."
	case event.Parked:
		return "The new tokens came too late for this answer's cookies: the next request gets them."
	case event.Ended:
		return fmt.Sprintf("The session has ended: %s.", told.Reason)
	}
	return fmt.Sprintf("%s: %s.", told.Kind, told.Outcome)
}

func presentation(told event.Event) string {
	ms := told.Took.Milliseconds()
	switch told.Outcome {
	case event.Stored:
		return fmt.Sprintf("The one refresh is over after %d ms: its successor is kept, for all who ask.", ms)
	case event.Unstored:
		return fmt.Sprintf("The refresh is over after %d ms, but the Store did not take the successor (%s): only this replica knows it.", ms, told.Reason)
	case event.Dropped:
		return fmt.Sprintf("The refresh is over after %d ms, and its answer is thrown away: the session had been ended meanwhile.", ms)
	case event.Unsent:
		return fmt.Sprintf("No refresh token could be presented: %s.", told.Reason)
	}
	return fmt.Sprintf("The refresh has failed after %d ms: %s.", ms, told.Reason)
}

func served(told event.Event) string {
	ms := told.Took.Milliseconds()
	switch told.Outcome {
	case event.Presented:
		return fmt.Sprintf("The call that began the refresh has its new token after %d ms.", ms)
	case event.Joined:
		return fmt.Sprintf("The call has waited %d ms for the refresh that was under way in this replica.", ms)
	case event.Adopted:
		return fmt.Sprintf("The call has a new token after %d ms that somebody else's refresh brought. Nothing was presented for it.", ms)
	case event.Left:
		return "The caller has left. The refresh goes on without it."
	}
	return fmt.Sprintf("There is no new token for the call after %d ms: %s.", ms, told.Reason)
}
