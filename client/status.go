package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"

	"github.com/go-resty/resty/v2"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// maxBody is how much of a body a StatusError keeps, in bytes.
const maxBody = 64 << 10

// StatusError is an answer whose status is not 2xx.
//
// errors.Is(err, tokencache.ErrUnauthorized) is true for 401. If the refresh
// failed before that, errors.Is and errors.As also see why, so that
// tokencache.ErrLoginRequired tells a session that is over. If the API wants a
// stronger sign-in or more scope, errors.As finds a [*tokencache.StepUpError].
type StatusError struct {
	// Status is the HTTP status code.
	Status int
	// Header is that of the answer.
	Header http.Header
	// Body is the beginning of the body, at most 64 KiB. It is empty where resty
	// has written that to a file (SetOutput), and Problem nil.
	Body []byte
	// Problem is the body where that is a JSON object and
	// application/problem+json (RFC 9457), else nil. It is read whole.
	Problem *Problem

	method, path string
	causes       []error
}

// Problem is what RFC 9457 section 3.1 defines. A member of another type is left
// empty. What the API adds stands in the Body.
type Problem struct {
	Type     string `json:"type"` // if empty, "about:blank" is meant
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Instance string `json:"instance"`
}

// Error names the request and the status. It quotes no query and no body.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", e.method, e.path, e.Status, http.StatusText(e.Status))
	for _, cause := range e.causes {
		s += ": " + cause.Error()
	}
	return s
}

// StatusCode returns Status, for code that does not know this type.
func (e *StatusError) StatusCode() int { return e.Status }

// Unwrap returns what led to the answer.
func (e *StatusError) Unwrap() []error { return e.causes }

// Is makes a 401 match tokencache.ErrUnauthorized.
func (e *StatusError) Is(target error) bool {
	return target == tokencache.ErrUnauthorized && e.Status == http.StatusUnauthorized
}

// asStatusError is a resty response middleware.
func asStatusError(_ *resty.Client, resp *resty.Response) error {
	if resp.IsSuccess() || resp.RawResponse == nil {
		return nil
	}
	e := &StatusError{Status: resp.StatusCode(), Header: resp.Header(), Body: resp.Body()}
	if len(e.Body) > maxBody {
		e.Body = bytes.Clone(e.Body[:maxBody]) // whoever keeps the error does not keep the rest
	}
	if req := resp.Request.RawRequest; req != nil {
		e.method, e.path = req.Method, req.URL.EscapedPath()
	}
	if e.Status == http.StatusUnauthorized {
		if err := tokencache.FromContext(resp.Request.Context()).Err(); err != nil {
			e.causes = append(e.causes, err)
		}
	}
	if err := transport.StepUp(resp.RawResponse); err != nil {
		e.causes = append(e.causes, err)
	}
	if t, _, err := mime.ParseMediaType(e.Header.Get("Content-Type")); err == nil && t == "application/problem+json" {
		e.Problem = problem(resp.Body())
	}
	return e
}

// problem reads a body of RFC 9457, nil if it is no JSON object. A member of
// another type than is defined is ignored, and the others stand (section 3.1).
func problem(body []byte) *Problem {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil || members == nil {
		return nil
	}
	p := &Problem{}
	for name, to := range map[string]any{
		"type": &p.Type, "title": &p.Title, "status": &p.Status, "detail": &p.Detail, "instance": &p.Instance,
	} {
		json.Unmarshal(members[name], to) // or leaves it as it is
	}
	return p
}
