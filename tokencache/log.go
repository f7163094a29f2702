package tokencache

import (
	"context"
	"log/slog"
	"time"

	"github.com/rebearer/rebearer/internal/reentry"
)

func (c *Coordinator) log(level slog.Level, msg string, args ...any) {
	if c.Log != nil {
		defer func() { recover() }() // a handler that panics costs its record, and nothing else
		// Marked, since a handler that called us would wait for itself.
		c.Log.Log(reentry.Mark(context.Background()), level, "rebearer: "+msg, args...)
	}
}

func (l *leader) info(msg string, began time.Time) {
	l.log(slog.LevelInfo, msg, "session", l.id[:8], "took", time.Since(began))
}

func (c *Coordinator) warn(msg string, e *Error) {
	c.log(slog.LevelWarn, msg, "reason", string(e.Reason), "error", e.Error())
}

// report logs a failure: loudly if the operator has to act.
func (l *leader) report(e *Error, began time.Time) {
	level, msg := slog.LevelWarn, "refresh failed"
	switch {
	case e.Reason.Ends():
		level, msg = slog.LevelInfo, "session ended"
	case e.Reason.Misconfigured():
		level, msg = slog.LevelError, "refresh misconfigured"
	}
	l.log(level, msg, "session", l.id[:8], "reason", string(e.Reason), "status", e.Status,
		"code", e.Code, "took", time.Since(began), "error", e.Error())
}
