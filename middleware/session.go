package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rebearer/rebearer/internal/claims"
	"github.com/rebearer/rebearer/internal/jwks"
	"github.com/rebearer/rebearer/internal/jws"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// session is what one incoming request has to do with tokens. It is the
// response writer that its handler gets, too: see writer.go.
type session struct {
	w       http.ResponseWriter
	auth    *Authenticator
	request *http.Request // as it came in
	kind    kind
	began   time.Time

	shown   tokencache.Token // what the browser showed
	entry   *entry           // where that was, with Sessions
	verdict verdict          // of the newest access token that was looked at
	cache   *tokencache.Cache
	tidy    bool        // the browser showed a cookie twice
	others  []candidate // what else it showed then
	chunks  int         // of sealed cookies that it showed
	former  []string    // cookies that it showed of another place
	unread  error       // why Sessions do not know what it showed
	rest    []string    // the Cookie header without ours; a handler may keep it, and should keep no more
	node    node

	alone bool // no Handler is around

	mu       sync.Mutex // a handler behind an http.TimeoutHandler may outlive its request
	sent     bool       // the header is on its way
	whole    bool       // with a body by the handler that nothing can be added to
	done     bool       // the handler is through
	hijacked bool
	handed   tokencache.Token // what the cookies were set to
	set      []string         // Set-Cookie lines that stand in for those of the cache
	beside   []string         // those that are no matter of tokens
	worn     []string         // those that the header has

	keeping sync.Mutex // the entry is being written; mu may be held, and is not taken
}

// Format prints no field: the lines of set hold tokens.
func (s *session) Format(f fmt.State, _ rune) { io.WriteString(f, "ResponseWriter(…)") }

type sessionKey struct{}

// node is the context of a request together with its session, of which it is a
// part so that it need not be allocated.
type node struct {
	context.Context
	session *session
}

// Value implements context.Context.
func (n *node) Value(key any) any {
	if key == (sessionKey{}) {
		return n.session
	}
	return n.Context.Value(key)
}

// Format prints no field: they change while they would be read.
func (n *node) Format(f fmt.State, _ rune) { io.WriteString(f, "Context(…)") }

// sessionOf returns the session of a request, or nil.
func sessionOf(ctx context.Context) *session {
	s, _ := ctx.Value(sessionKey{}).(*session)
	return s
}

// Claims returns the verified claims of the access token that the request began
// with, or nil: if there is no session, on a public path whose session could
// not be renewed, and without a Verifier. The map is shared and must not be
// changed.
func Claims(ctx context.Context) map[string]any {
	if s := sessionOf(ctx); s != nil {
		return s.verdict.claims
	}
	return nil
}

// begin reads what the browser shows.
func (a *Authenticator) begin(w http.ResponseWriter, r *http.Request) *session {
	s := &session{w: w, auth: a, request: r, kind: kindOf(r), began: time.Now(), verdict: verdict{err: jws.ErrInvalid}}
	if lines := r.Header["Cookie"]; lines != nil {
		s.read(lines)
	}
	s.cache = tokencache.New(a.Coordinator, s.shown)
	return s
}

// candidate is one of several Tokens that a browser shows.
type candidate struct {
	tokencache.Token
	entry *entry
}

// read takes the pair of cookies that works. There is more than one if a name
// was set for the host and for its domain, or for another path; the cookies of a
// pair come in the same order (RFC 6265 section 5.4), if nobody has set one of them
// alone.
func (s *session) read(lines []string) {
	var j jar
	for _, line := range lines {
		if kept, some := s.auth.sort(line, &j); some {
			s.rest = append(s.rest, kept)
		}
	}
	found := s.find(&j)
	for i, of := range found.all[:found.n] {
		t, v := s.auth.pair(s.request.Context(), of, s.began)
		now := candidate{t, found.entries[i]}
		if i > 0 && !better(t, v, s.shown, s.verdict, time.Now()) {
			s.others = append(s.others, now)
			continue
		}
		if i > 0 {
			s.others = append(s.others, candidate{s.shown, s.entry})
		}
		s.shown, s.entry, s.verdict = now.Token, now.entry, v
	}
}

// found is what the cookies in a jar hold.
type found struct {
	n       int
	all     [maxCandidates]cookies
	entries [maxCandidates]*entry
}

func (f *found) add(of cookies, e *entry) {
	f.all[f.n], f.entries[f.n] = of, e
	f.n++
}

// find looks where the tokens are.
func (s *session) find(j *jar) (f found) {
	a := s.auth
	if a.names.session == "" {
		n := max(j.access.n, j.refresh.n)
		s.tidy = n > 1
		for i := range n {
			f.add(cookies{j.access.at(i), j.refresh.of(i), j.key.of(i)}, nil)
		}
		return f
	}
	s.tidy, s.former = j.session.n > 1, j.former
	for _, c := range j.more {
		s.chunks = max(s.chunks, c.index+1)
	}
	for _, value := range j.session.all[:j.session.n] {
		if a.Sessions == nil {
			if of, ok := a.unsealed(value, j.more); ok {
				f.add(of, nil)
			}
			continue
		}
		switch e, err := a.Sessions.load(s.request.Context(), value); {
		case err != nil:
			s.unread = err
		case e != nil:
			f.add(e.of, e)
		}
	}
	return f
}

// better prefers an access token that lives, then what can be refreshed, and of
// that one that was good.
func better(t tokencache.Token, v verdict, than tokencache.Token, thanV verdict, now time.Time) bool {
	rank := func(t tokencache.Token, v verdict) (n int) {
		switch {
		case v.live(now):
			n = 4
		case v.err == nil || errors.Is(v.err, jws.ErrExpired):
			n = 1
		}
		if t.Refresh() != "" {
			n += 2
		}
		return n
	}
	return rank(t, v) > rank(than, thanV)
}

// excessive reports whether a request shows so many cookies that net/http reads
// none of them. That is an attack on the session, or a page that has lost its
// mind; it does not mean that nobody is signed in.
func excessive(r *http.Request) bool {
	n := 0
	for _, line := range r.Header["Cookie"] {
		n += strings.Count(line, ";") + 1
	}
	return n > maxCookies
}

// maxCookies is more than any browser keeps for one host.
const maxCookies = 1000

// with returns the request for the handler: its context carries the session and
// the cache, its header none of our cookies, and no credentials that the browser
// made up beside the tokens: the API must see ours.
func (s *session) with(cache *tokencache.Cache) *http.Request {
	s.node = node{s.request.Context(), s}
	r := s.request.WithContext(tokencache.NewContext(&s.node, cache))
	r.Header = s.withoutOurs(s.request.Header)
	if !cache.Token().IsZero() {
		delete(r.Header, "Authorization")
	}
	return r
}

// frozen is a cache that signs requests and refreshes nothing.
func (s *session) frozen() *tokencache.Cache { return tokencache.New(nil, s.cache.Token()) }

// nobody is the cache of somebody who is not signed in.
func nobody() *tokencache.Cache { return tokencache.New(nil, tokencache.Token{}) }

// catchUp adopts what others have made of the session meanwhile. It is an error
// that the session has ended.
func (s *session) catchUp(ctx context.Context) error {
	if s.unread != nil && s.shown.IsZero() {
		return s.unread
	}
	for {
		before := s.cache.Token()
		err := s.cache.CatchUp(ctx)
		if err == nil {
			if t := s.cache.Token(); !t.Same(before) {
				s.verdict = s.auth.examine(ctx, t.Access())
			}
			return nil
		}
		if !s.another(err) {
			return err
		}
		s.verdict = s.auth.examine(ctx, s.shown.Access())
	}
}

// renew gets what replaces an access token.
func (s *session) renew(ctx context.Context, spent tokencache.Token) error {
	for {
		err := s.exchange(ctx, spent)
		if err == nil || !s.another(err) {
			return err
		}
		spent = s.shown
	}
}

// another goes on to the next pair of cookies that the browser showed, if err
// proves that this one is over. It reports whether there is one.
func (s *session) another(err error) bool {
	if !errors.Is(err, tokencache.ErrLoginRequired) || len(s.others) == 0 {
		return false
	}
	s.end(err)
	s.shown, s.entry, s.others = s.others[0].Token, s.others[0].entry, s.others[1:]
	s.cache = tokencache.New(s.auth.Coordinator, s.shown)
	return true
}

// exchange refreshes and verifies. A new token that does not verify is nobody's
// fault but the operator's. One that has ended since it was issued is refreshed
// once more.
func (s *session) exchange(ctx context.Context, spent tokencache.Token) error {
	for range 2 {
		t, err := s.cache.Refresh(ctx, spent)
		if err != nil {
			return err
		}
		s.verdict = s.auth.examine(jwks.Issued(ctx), t.Access())
		switch {
		case s.verdict.err == nil:
			if !s.verdict.live(time.Now()) {
				s.cache.Rejected(t) // ours is the faster clock, and the token's life is short
			}
			return nil
		case errors.Is(s.verdict.err, errUnverified):
			return s.verdict.err
		case !errors.Is(s.verdict.err, jws.ErrExpired) || !outlived(t):
			s.cache.Rejected(t) // another one would fare no better
			return &tokencache.Error{Reason: reason.Configuration, Err: mismatch(s.verdict.err)}
		}
		spent = t
	}
	return &tokencache.Error{Reason: reason.Timeout, Err: errOutlived}
}

var errOutlived = errors.New("the access token that was issued has ended before it could be used")

// outlived reports whether an access token has ended since it was issued: it was
// stored late, or found late. That says nothing of the clocks, but for one that does
// not live for a second.
func outlived(t tokencache.Token) bool {
	age := time.Since(t.Issued())
	if end := t.Expiry(); !end.IsZero() {
		return age >= time.Second && !end.After(time.Now())
	}
	c := claims.Parse(t.Access())
	life := c.Expiry.Sub(c.IssuedAt)
	return life >= time.Second && age >= life && !c.IssuedAt.IsZero() && !t.Issued().IsZero()
}

// mismatched is a text of ours that anybody may read.
type mismatched string

func (m mismatched) Error() string { return string(m) }

// mismatch says what is probably wrong if a new access token does not verify.
func mismatch(err error) error {
	hint := "is it a JWT for this program?"
	switch {
	case errors.Is(err, jws.ErrExpired), errors.Is(err, jws.ErrNotYetValid):
		hint = "the clocks of this program and of the authorization server differ"
	case errors.Is(err, jws.ErrSignature):
		hint = "the key or the algorithm is not the one that signs"
	case errors.Is(err, jws.ErrIssuer):
		hint = "the issuer is another one"
	case errors.Is(err, jws.ErrAudience):
		hint = "the audience is another one"
	}
	return mismatched("the access token that was just issued does not verify: " + hint)
}
