package transport

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/rebearer/rebearer/internal/origin"
	"github.com/rebearer/rebearer/internal/shared"
	"github.com/rebearer/rebearer/tokencache"
)

// copyOf returns a copy of the request to be signed and sent, since RoundTrip may
// not change the caller's (http.RoundTripper). Its Header is nil if that can be
// shared, see shares. theirs reports whether the caller has set an Authorization
// header, in whatever spelling.
func copyOf(req *http.Request, base http.RoundTripper) (signed *http.Request, theirs bool) {
	signed, ours := twinOf(req)
	if len(req.Header) == 0 && ours && shares(base) {
		signed.Header = nil
		return signed, false
	}
	signed.Header = make(http.Header, len(req.Header)+1)
	for name, values := range req.Header {
		switch len(name) {
		case len("Authorization"):
			theirs = theirs || strings.EqualFold(name, "Authorization")
		case len("Connection"):
			if strings.EqualFold(name, "Connection") {
				values = withoutOurs(values)
			}
		}
		signed.Header[name] = slices.Clip(values) // what Base adds does not end up in the caller's
	}
	return signed, theirs
}

// transmit sends one copy, and each copy once: Base may not be through with it
// when the answer is there. No answer may lead back to what holds the token.
func (a *attempt) transmit(token tokencache.Token) (*http.Response, error) {
	signed := a.signed
	if a.signed = nil; signed == nil {
		signed, _ = copyOf(a.req, a.base)
	}
	signed.Body = a.body
	if err := a.t.sign(signed, token); err != nil {
		if a.body != nil {
			a.body.Close()
		}
		return nil, err
	}
	resp, err := answered(a.base.RoundTrip(signed))
	if resp != nil {
		resp.Request = a.req
	}
	return resp, err
}

var errNoAnswer = errors.New("rebearer: Base has returned neither a response nor an error")

// answered is what a RoundTripper has returned, with the mistakes that http.Client
// forgives or calls an error.
func answered(resp *http.Response, err error) (*http.Response, error) {
	switch {
	case resp == nil && err == nil:
		err = errNoAnswer
	case resp != nil && resp.Body == nil:
		resp.Body = http.NoBody
	}
	return resp, err
}

// sign sets the headers that the token wants.
func (t *Transport) sign(req *http.Request, token tokencache.Token) error {
	bound := isBound(token)
	if req.Header == nil && !bound {
		if req.Header = shared.Header(token); req.Header != nil {
			return nil
		}
	}
	if req.Header == nil {
		req.Header = make(http.Header, 2)
	}
	if err := token.SetHeader(req.Header); err != nil || !bound {
		return err
	}
	return prove(t.DPoP, req, token.Key(), token.Access())
}

// strayed reports whether a redirect has led the request away from the allowed
// origins. It stays stripped when another one leads it back, since whoever
// sent it there has chosen the path.
func strayed(req *http.Request, origins *origin.Set) bool {
	for via := req.Response; via != nil; via = via.Request.Response {
		if via.Request == nil || !origins.Contains(via.Request.URL) {
			return true
		}
	}
	return false
}

// withoutOurs keeps the headers that we set from being named as hop-by-hop (RFC
// 9110 section 7.6.1), which would have a proxy remove them.
func withoutOurs(connection []string) []string {
	var out []string
	for _, line := range connection {
		var options []string
		for option := range strings.SplitSeq(line, ",") {
			if option = strings.TrimSpace(option); !strings.EqualFold(option, "Authorization") && !strings.EqualFold(option, "DPoP") {
				options = append(options, option)
			}
		}
		if len(options) > 0 {
			out = append(out, strings.Join(options, ", "))
		}
	}
	return out
}

// endOr returns why ctx has ended, as net/http would: its cause, and where none
// was given its error, so that url.Error knows a timeout; else err.
func endOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
