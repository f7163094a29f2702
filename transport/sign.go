package transport

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/rebearer/rebearer/internal/origin"
	"github.com/rebearer/rebearer/tokencache"
)

// signable returns a copy of the request that can be signed and sent, since
// RoundTrip may not change the caller's (http.RoundTripper). It is not ok if the
// caller has set an Authorization header, in whatever spelling.
func (t *Transport) signable(req *http.Request) (signed *http.Request, ok bool) {
	var header http.Header
	if len(req.Header) > 0 || !t.shares() {
		header = make(http.Header, len(req.Header)+1)
	}
	for name, values := range req.Header {
		switch len(name) {
		case len("Authorization"):
			if strings.EqualFold(name, "Authorization") {
				return nil, false
			}
		case len("Connection"):
			if strings.EqualFold(name, "Connection") {
				values = withoutOurs(values)
			}
		}
		header[name] = slices.Clip(values) // what Base adds does not end up in the caller's
	}
	signed = twinOf(req)
	signed.Header = header
	return signed, true
}

// shares reports whether requests without a header of their own can share one.
// Base must not change it (http.RoundTripper), but of all those that do not, one
// is known.
func (t *Transport) shares() bool {
	_, known := t.base().(*http.Transport)
	return known
}

// send signs the copy and sends it. No answer may lead back to what holds the
// token.
func (t *Transport) send(signed *http.Request, token tokencache.Token, body io.ReadCloser) (*http.Response, error) {
	signed.Body = body
	if err := t.sign(signed, token); err != nil {
		if body != nil {
			body.Close()
		}
		return nil, err
	}
	resp, err := t.base().RoundTrip(signed)
	if resp != nil && resp.Body == nil { // as http.Client forgives it
		resp.Body = http.NoBody
	}
	return resp, err
}

// sign sets the headers that the token wants.
func (t *Transport) sign(req *http.Request, token tokencache.Token) error {
	if req.Header == nil && !isBound(token) {
		if req.Header = token.Header(); req.Header != nil {
			return nil
		}
	}
	if req.Header == nil {
		req.Header = make(http.Header, 2)
	}
	if err := token.SetHeader(req.Header); err != nil || !isBound(token) {
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

// endOr returns why ctx has ended, as net/http would, so that url.Error knows a
// timeout; else err.
func endOr(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	return err
}
