package recipes

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// Doer sends the requests of a generated client, be it one of oapi-codegen, ogen
// or connect-go: all of them take whatever has a method Do. Its Transport is a
// *transport.Transport, so that there is one client for all users, and whose call
// it is follows from the context that each generated method takes.
//
// That alone signs, refreshes and replays. What Doer adds is an error, before the
// generated code reads anything, where a refresh was no help: each generator has
// its own idea of an answer that its document does not know, and none of them knows
// what [middleware.Authenticator.Error] has to be told.
//
//   - errors.Is(err, tokencache.ErrUnauthorized): a 401 that stayed.
//   - errors.Is(err, tokencache.ErrLoginRequired): and the session is over.
//   - errors.As(err, &stepUp), a *tokencache.StepUpError: the API wants a stronger
//     sign-in (RFC 9470) or more scope, by 401 or by 403.
//
// All of them come out of the generated method as they are, or wrapped. Any other
// 403 is an answer, as the document describes it.
type Doer struct{ Client *http.Client }

// Do is that of an http.Client.
func (d Doer) Do(req *http.Request) (*http.Response, error) {
	resp, err := d.Client.Do(req)
	if err != nil {
		return nil, err
	}
	refusal := refused(resp)
	if refusal == nil {
		return resp, nil
	}
	io.CopyN(io.Discard, resp.Body, 64<<10) // or the connection is lost
	resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized { // why is known to whoever tried
		refusal = errors.Join(refusal, tokencache.FromContext(req.Context()).Err())
	}
	return nil, refusal
}

// Status is an answer that the document of an API does not know. By StatusCode it
// is known to [middleware.Authenticator.Error], which answers 502 for a 5xx.
type Status int

// Error quotes nothing of the answer.
func (s Status) Error() string { return "the API answered " + strconv.Itoa(int(s)) }

// StatusCode is the status.
func (s Status) StatusCode() int { return int(s) }

// around serves pages to those who are signed in, beside the Authenticator's own
// routes.
func around(auth *middleware.Authenticator, pages http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /auth/refresh", auth.RefreshHandler())
	mux.Handle("GET /auth/rebearer.js", auth.ScriptHandler())
	mux.Handle("POST /logout", auth.LogoutHandler())
	mux.Handle("/", auth.Handler(pages))
	return mux
}
