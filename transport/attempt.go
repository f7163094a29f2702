package transport

import (
	"io"
	"net/http"
	"time"

	"github.com/rebearer/rebearer/internal/challenge"
	"github.com/rebearer/rebearer/internal/replay"
	"github.com/rebearer/rebearer/internal/shared"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/event"
)

// serve sends the request, and once more if its token was rejected.
func (a *attempt) serve(cache *tokencache.Cache, token tokencache.Token) (*http.Response, error) {
	t, req := a.t, a.req
	a.load(req.Body)
	a.keep()
	resp, err := a.send(token)
	if err != nil || !t.rejected(resp) {
		a.release()
		return resp, err
	}
	again := a.rewind(resp)
	next, err := cache.Refresh(req.Context(), token)
	if !again || err != nil || next.Access() == token.Access() {
		a.discard()
		if req.Context().Err() != nil && err != nil {
			resp.Body.Close()
			return nil, endOr(req.Context(), err)
		}
		return resp, nil
	}
	resp.Body.Close()
	if !a.bound && isBound(next) { // the session has just become so
		a.bound = true
		a.keep()
	}
	began := time.Now()
	resp, err = a.send(next)
	a.release()
	outcome := event.Answered
	switch {
	case err != nil && req.Context().Err() != nil:
		outcome = event.Left
	case err != nil:
		outcome = event.Failed
	case t.rejected(resp):
		cache.Rejected(next)
		outcome = event.Rejected
	}
	a.tell(cache, event.Event{Kind: event.Replay, Outcome: outcome, Began: began, Resource: next.Resource()}, resp)
	return resp, err
}

// tell has what the API answered observed. What Base says of a failure stays with
// the caller: it has seen the token.
func (a *attempt) tell(cache *tokencache.Cache, e event.Event, resp *http.Response) {
	e.Took = time.Since(e.Began)
	if resp != nil {
		e.Status = resp.StatusCode
	}
	shared.Tell(a.req.Context(), cache, e)
}

// attempt is a request and its body, which is there for one sending and can be
// rewound for the next.
type attempt struct {
	t      *Transport
	base   http.RoundTripper // which may not change between two sendings
	req    *http.Request
	signed *http.Request // the copy of req for the first sending
	bound  bool          // the second sending may not be the last
	body   io.ReadCloser
	kept   *replay.Body // what body is, if it is kept
	gone   bool         // the body cannot be had again
}

// load takes the body that the next sending reads.
func (a *attempt) load(body io.ReadCloser) { a.body, a.kept = body, nil }

// keep has the next sending keep what it reads, if there is no other way to
// have it again.
func (a *attempt) keep() {
	if a.body == nil || a.body == http.NoBody || a.req.GetBody != nil {
		return
	}
	limit := a.t.MaxBody
	if limit == 0 {
		limit = defaultMaxBody
	}
	a.kept = replay.Keep(a.body, max(0, limit))
	a.body = a.kept
}

// send sends the request with the token. If the token is bound to a key, and the
// server wants another proof of that than it got, such as one with its nonce (RFC
// 9449 section 9), it is sent once more: nothing is wrong with the token.
func (a *attempt) send(token tokencache.Token) (*http.Response, error) {
	resp, err := a.transmit(token)
	if err != nil || !isBound(token) {
		return resp, err
	}
	if !a.learn(token, resp) || !a.rewind(resp) {
		return resp, nil
	}
	if a.req.Context().Err() != nil {
		a.discard()
		return resp, nil
	}
	resp.Body.Close()
	resp, err = a.transmit(token)
	if err == nil {
		a.learn(token, resp)
	}
	return resp, err
}

// learn takes what the next proof has to hold from the answer, and reports
// whether it asks for one.
func (a *attempt) learn(token tokencache.Token, resp *http.Response) bool {
	code := ""
	if a.t.unauthorized(resp) {
		switch challenge.Decide(resp.Header).Verdict {
		case challenge.Nonce:
			code = "use_dpop_nonce"
		case challenge.Proof:
			code = "invalid_dpop_proof"
		}
	}
	return a.t.DPoP.Learn(sentTo(a.req), resp.Header, token.Key(), code)
}

// rewind makes the request ready to be sent again, if it can be. The answer's
// body is drained and closed first: otherwise its connection is lost, and where
// only one is allowed the second attempt would wait for it for ever.
func (a *attempt) rewind(resp *http.Response) bool {
	kept, again := a.kept, io.ReadCloser(nil)
	switch {
	case kept != nil && kept.Lost(): // it will go back, unread: its end may wait for that of the upload
		kept.Release()
	case a.gone:
	case kept != nil:
		drain(a.req, resp, true)
		again, _ = kept.Again(a.req.Context(), patience)
	case a.req.Body == nil || a.req.Body == http.NoBody:
		drain(a.req, resp, false)
		again = http.NoBody
	case a.req.GetBody != nil:
		drain(a.req, resp, false)
		if b, err := a.req.GetBody(); err == nil {
			again = b
		}
	}
	a.load(again)
	if a.gone = again == nil; a.bound && !a.gone {
		a.keep()
	}
	return !a.gone
}

// release says that the body is not needed again after the sending that it is
// in.
func (a *attempt) release() {
	if a.kept != nil {
		a.kept.Release()
	}
}

// discard closes the body of a sending that does not take place.
func (a *attempt) discard() {
	switch {
	case a.kept != nil:
		a.kept.Discard()
	case a.body != nil:
		a.body.Close()
	}
}
