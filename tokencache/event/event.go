// Package event holds what a Coordinator tells of what it does: one struct, and
// two closed sets of words. An [Event] is told when something has ended, and says
// when it began, so that a span of a trace can be made of it afterwards.
//
// No Event holds a token, nor anything that was made of one: no subject, no
// session, no key of the Store. Its words may label a metric.
package event

import (
	"time"

	"github.com/rebearer/rebearer/tokencache/reason"
)

// Kind says what has ended.
type Kind string

const (
	// Presentation: an exchange asked the authorization server, and what came of
	// it was stored or shared. It belongs to no caller, and its context carries
	// nothing of any request. It is told before those who wait have their answer.
	Presentation Kind = "presentation"
	// Served: a caller that asked for a token in place of one that does not work
	// has its answer. Took is how long it waited. The context is the caller's.
	Served Kind = "served"
	// Ahead: a renewal ahead of an access token's end is over. Nobody waited.
	Ahead Kind = "ahead"
	// Replay: a Transport has sent a request for the second time, and has its
	// answer. The context is the request's.
	Replay Kind = "replay"
	// Delivered: new tokens are in the header of a response that is about to go out,
	// or in the session that the server keeps. The
	// context is that of the browser's request.
	Delivered Kind = "delivered"
	// Parked: new tokens came after the header had gone out, and wait for the next
	// request. The context is that of the browser's request.
	Parked Kind = "parked"
	// Ended: a session was ended, for the Reason, by this process. It is told once,
	// and not by those who only hear of it.
	Ended Kind = "ended"
)

// Outcome says how it ended.
type Outcome string

// Outcomes of a [Presentation].
const (
	// Stored: the successor is in the Store.
	Stored Outcome = "stored"
	// Unstored: the Store did not take the successor, for the Reason. Only this
	// process knows it.
	Unstored Outcome = "unstored"
	// Dropped: the answer was not used. The session had been ended meanwhile, for
	// the Reason; if that is empty, somebody else's exchange of the same refresh
	// token counts.
	Dropped Outcome = "dropped"
	// Unsent: it failed before the refresh token was sent, and was no presentation.
	Unsent Outcome = "unsent"
)

// Outcomes for who asked: [Served], [Ahead], and Left for a [Replay], too.
const (
	// Presented: it began the exchange that brought the token.
	Presented Outcome = "presented"
	// Joined: somebody else in this process had begun it.
	Joined Outcome = "joined"
	// Adopted: the successor was there, or came from another replica.
	Adopted Outcome = "adopted"
	// Left: the caller's context ended first. The exchange goes on.
	Left Outcome = "left"
)

// Outcomes of a [Replay].
const (
	// Answered: the API took the new token, whatever it thinks of the request.
	Answered Outcome = "answered"
	// Rejected: the API rejects the new token, too.
	Rejected Outcome = "rejected"
)

// Failed is any other end of a [Presentation], [Served], [Ahead] or [Replay].
const Failed Outcome = "failed"

// Event is something that has ended. Fields that say nothing of its Kind are zero.
type Event struct {
	Kind    Kind
	Outcome Outcome
	// Began is when it began, and Took how long it took.
	Began time.Time
	Took  time.Duration
	// Reason is why a refresh failed or a session ended.
	Reason reason.Reason
	// Status is the HTTP status of the authorization server, where a Presentation
	// failed, or of the API, for a Replay; 0 if there was none.
	Status int
	// Err is what a caller is told, or would be: a *tokencache.Error, one of that
	// package's sentinels, or the end of a context. Its text holds no token, but may
	// quote what a Refresher says of a failure: it is for logs, not for labels.
	Err error
	// Resource is the resource indicator that the access token is for (RFC 8707),
	// empty for the session's own.
	Resource string
	// Exchange is the same pointer for a Presentation and for all in this process
	// that it served; nil where there was none.
	Exchange *Exchange
}

// Exchange is where who observes may note what it made of a [Presentation], such as
// a span, for those that it served. Note is written by nobody but the observer, while
// it is told of the Presentation, and may be read whenever it is told of another.
type Exchange struct{ Note any }
