package tokencache

import (
	"context"
	"errors"
	"log/slog"

	"github.com/rebearer/rebearer/internal/reentry"
	"github.com/rebearer/rebearer/tokencache/event"
)

func (c *Coordinator) log(level slog.Level, msg string, args ...any) {
	if c.Log != nil {
		defer func() { recover() }() // a handler that panics costs its record, and nothing else
		// Marked, since a handler that called us would wait for itself.
		c.Log.Log(reentry.Mark(context.Background()), level, "rebearer: "+msg, args...)
	}
}

func (c *Coordinator) warn(msg string, e *Error) {
	c.log(slog.LevelWarn, msg, "reason", string(e.Reason), "error", e.Error())
}

// record logs an event, loudly if the operator has to act. That an exchange has
// ended its session is one record, which the end makes.
func (c *Coordinator) record(e event.Event, session string) {
	if c.Log == nil {
		return
	}
	level, msg := slog.LevelInfo, "session ended"
	if e.Kind == event.Presentation {
		switch {
		case e.Outcome == event.Stored:
			msg = "refreshed"
		case e.Outcome == event.Dropped:
			msg = "refreshed in vain"
		case e.Outcome == event.Unstored:
			level, msg = slog.LevelWarn, "successor unstored"
		case e.Reason.Misconfigured():
			level, msg = slog.LevelError, "refresh misconfigured"
		case e.Reason.Ends():
			return
		default:
			level, msg = slog.LevelWarn, "refresh failed"
		}
	}
	c.log(level, msg, attributes(e, session)...)
}

// attributes are what a record says of an event, in the words that a metric has.
func attributes(e event.Event, session string) (args []any) {
	add := func(key, value string) {
		if value != "" {
			args = append(args, key, value)
		}
	}
	add("session", session)
	add("outcome", string(e.Outcome))
	add("reason", string(e.Reason))
	add("resource", e.Resource)
	if e.Status != 0 {
		args = append(args, "status", e.Status)
	}
	args = append(args, "took", e.Took)
	if e.Err != nil {
		var cause *Error
		if errors.As(e.Err, &cause) {
			add("code", cause.Code)
		}
		args = append(args, "error", e.Err.Error())
	}
	return args
}
