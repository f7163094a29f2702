package middleware

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rebearer/rebearer/internal/shared"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/event"
)

// The session is an http.ResponseWriter that sets the cookies at the last
// moment that they can be: when the header is about to be written, by whatever
// method, or when the handler is through. It has all that the writers of
// net/http have, so that nobody reaches past it to the one underneath.

// Header implements http.ResponseWriter. Who has hijacked the connection writes
// it after the last moment that we see, as an httputil.ReverseProxy does, which
// has added an upstream's cookies by then.
func (s *session) Header() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hijacked {
		s.wear(s.w.Header())
	}
	return s.w.Header()
}

// WriteHeader implements http.ResponseWriter. Informational responses but 101
// are not the last word (RFC 9110 section 15.2).
func (s *session) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		s.send()
	} else {
		s.auth.disown(s.w.Header()) // some browsers keep the cookies of these, too
	}
	s.w.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (s *session) Write(p []byte) (int, error) {
	s.send()
	return s.w.Write(p)
}

// WriteString implements io.StringWriter.
func (s *session) WriteString(p string) (int, error) {
	s.send()
	return io.WriteString(s.w, p)
}

// ReadFrom implements io.ReaderFrom, by which net/http sends files without
// copying them.
func (s *session) ReadFrom(src io.Reader) (int64, error) {
	s.send()
	if to, ok := s.w.(io.ReaderFrom); ok {
		return to.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{s.w}, src)
}

// Flush implements http.Flusher.
func (s *session) Flush() { s.FlushError() }

// FlushError is for http.ResponseController. Where it is not supported, nothing
// has gone out; after any other error something may have.
func (s *session) FlushError() error {
	first := s.send()
	err := http.NewResponseController(s.w).Flush()
	if first && errors.Is(err, http.ErrNotSupported) {
		s.unsend()
	}
	return err
}

// Hijack implements http.Hijacker. Whoever writes the header of the connection
// itself, as for an upgrade, finds the cookies in Header. Where there is none to
// have, as with HTTP/2, the error can still be answered.
func (s *session) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	first := s.send()
	conn, buf, err := http.NewResponseController(s.w).Hijack()
	if err != nil {
		if first {
			s.unsend()
		}
		return conn, buf, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hijacked = true
	return conn, buf, nil
}

// Push implements http.Pusher.
func (s *session) Push(target string, opts *http.PushOptions) error {
	for w := s.w; ; {
		switch p := w.(type) {
		case http.Pusher:
			return p.Push(target, opts)
		case interface{ Unwrap() http.ResponseWriter }:
			w = p.Unwrap()
		default:
			return http.ErrNotSupported
		}
	}
}

// CloseNotify is what gin's Stream still asks for.
func (s *session) CloseNotify() <-chan bool {
	gone := make(chan bool, 1)
	context.AfterFunc(s.request.Context(), func() { gone <- true })
	return gone
}

// Unwrap is for http.ResponseController: deadlines and full duplex.
func (s *session) Unwrap() http.ResponseWriter { return s.w }

// send is called when the header is about to go out, once with effect. It
// reports whether this was it.
func (s *session) send() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent {
		return false
	}
	h := s.w.Header()
	s.sent, s.whole = true, h["Content-Encoding"] != nil || h["Content-Length"] != nil
	s.dress()
	return true
}

// unsend is called when the header has not gone out after all. The next send
// sets its cookies anew, those of what has come meanwhile.
func (s *session) unsend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = false
}

// finish is the last moment of all, when the handler is through. Somebody
// outside may yet write the header, and it is right for that. What has come
// since it was written is parked, and handed over by a later response.
func (s *session) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
	if !s.sent {
		s.dress()
	}
	t, changed := s.cache.Changed()
	if !changed || s.set != nil || t.Same(s.handed) {
		return
	}
	if s.auth.Sessions != nil {
		s.lines() // none, but what is new is kept
	} else {
		s.auth.log(s.request, slog.LevelDebug, "new tokens are parked for the next request")
		s.tell(event.Parked)
	}
}

// dress sets the cookies on the header as it is. It may be done again. The
// caller holds the lock.
func (s *session) dress() {
	s.worn = s.lines()
	if s.beside != nil {
		s.worn = slices.Concat(s.worn, s.beside)
	}
	s.wear(s.w.Header())
}

// wear sees to it that nobody else sets cookies of our names, and that a
// response with ours is for one browser only, whatever the handler said of it.
func (s *session) wear(h http.Header) {
	if s.alone && len(s.worn) == 0 {
		return // what there is, a Handler may have set
	}
	s.auth.disown(h)
	if len(s.worn) > 0 {
		h["Set-Cookie"] = append(h["Set-Cookie"], s.worn...)
		private(h)
	}
}

// lines returns the Set-Cookie lines of this response. What comes later than
// this is handed to a later request.
//
// Strays are deleted together with a pair that is new, and never without: which of
// two cookies is ours, and which refresh token belongs to which access token, is a
// guess until one has been exchanged.
func (s *session) lines() []string {
	if s.set != nil {
		return s.set
	}
	if s.cache.CatchUp(s.request.Context()) != nil {
		return nil // ended meanwhile: whoever did so has told the browser
	}
	t, changed := s.cache.Changed()
	if !changed || t.IsZero() {
		return nil
	}
	before := s.handed
	lines, err := s.hand(t)
	if err == nil && changed && !t.Same(before) && t.Same(s.handed) {
		s.tell(event.Delivered)
	}
	if err != nil {
		s.auth.warn(s.request, "new tokens cannot be handed over", err)
		return nil
	}
	if s.tidy {
		lines = append(s.auth.strays(s.request), lines...)
	}
	return lines
}

// tell says what has become of new tokens.
func (s *session) tell(what event.Kind) {
	shared.Tell(s.request.Context(), s.cache, event.Event{Kind: what, Began: time.Now()})
}

// hand returns what hands the token to the browser. With [Sessions] nothing does:
// it is kept there.
func (s *session) hand(t tokencache.Token) (lines []string, err error) {
	if s.auth.Sessions == nil {
		s.handed = t
		lines, err = s.auth.lines(t)
		return s.without(lines), err
	}
	if s.entry == nil || t.Same(s.handed) {
		return nil, nil
	}
	s.keeping.Lock()
	defer s.keeping.Unlock()
	if err = s.auth.Sessions.save(context.WithoutCancel(s.request.Context()), s.entry, t); err == nil {
		s.handed = t
	}
	return nil, err
}

// settled reports whether the header is on its way.
func (s *session) settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// private makes the response one that no cache but the browser's may look at,
// and that one may not keep (RFC 9111 section 5.2.2). Some caches listen to
// headers of their own rather than to Cache-Control.
func private(h http.Header) {
	for name := range h {
		switch lower := strings.ToLower(name); lower {
		case "cache-control", "etag", "last-modified", "expires", "pragma", "age", "surrogate-control", "edge-control", "x-accel-expires":
			delete(h, name)
		default:
			if strings.HasSuffix(lower, "cdn-cache-control") {
				delete(h, name)
			}
		}
	}
	h["Cache-Control"] = []string{"private, no-store"}
	for _, line := range h["Vary"] {
		for field := range strings.SplitSeq(line, ",") {
			if field = strings.TrimSpace(field); field == "*" || strings.EqualFold(field, "Cookie") {
				return
			}
		}
	}
	h.Add("Vary", "Cookie")
}
