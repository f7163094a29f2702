package client

import (
	"context"
	"net/http"

	"github.com/go-resty/resty/v2"
)

// Client is a resty client for many users. It is safe for concurrent use.
type Client struct {
	resty *resty.Client
}

// New returns a Client that sends requests through rt, which is a
// *transport.Transport as a rule. Relative request URLs begin with baseURL.
//
// It has no cookie jar, since the API's cookies for one user are nothing to
// the next one, and resty's own retries are off.
func New(baseURL string, rt http.RoundTripper) *Client {
	r := resty.NewWithClient(&http.Client{Transport: rt})
	r.SetBaseURL(baseURL)
	r.OnAfterResponse(asStatusError)
	return &Client{resty: r}
}

// R returns a new request for the user whose tokens ctx carries. Executing it
// returns a [*StatusError] where the answer's status is not 2xx. A request with
// SetDoNotParseResponse is the exception: its answer is handed over as it is. With
// SetOutput, the body of such an answer is in the file, too, and not in the error.
func (c *Client) R(ctx context.Context) *resty.Request {
	return c.resty.R().SetContext(ctx)
}

// Resty returns the client underneath, to be configured before first use. It
// must be given neither an auth token nor another transport, and no cookie
// jar.
func (c *Client) Resty() *resty.Client { return c.resty }
