package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// retryable is go-retryablehttp as it is used with tokens that end: CheckRetry
// takes a 401 for something to be tried again, and PrepareRetry signs anew. It
// logs nothing and does not wait.
var retryable = contender{name: "go-retryablehttp, 401 hook", renews: replays, open: func(s *site) *door {
	var token atomic.Pointer[string]
	token.Store(&s.user.first)
	c := retryablehttp.NewClient()
	c.HTTPClient = &http.Client{Transport: s.base}
	c.Logger = nil
	c.RetryMax = 1
	c.Backoff = func(time.Duration, time.Duration, int, *http.Response) time.Duration { return 0 }
	c.CheckRetry = func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		return err == nil && resp.StatusCode == http.StatusUnauthorized, ctx.Err()
	}
	c.PrepareRetry = func(req *http.Request) error {
		next, err := s.user.exchange(req.Context())
		if err != nil {
			return err
		}
		token.Store(&next)
		req.Header.Set("Authorization", "Bearer "+next)
		return nil
	}
	r := retrying{c, s.url + path, &token}
	return &door{
		get: func(ctx context.Context) error {
			_, err := r.do(ctx, "GET", "", "", nil)
			return err
		},
		accept: func(ctx context.Context) error {
			_, err := r.do(ctx, "GET", "application/json", "", nil)
			return err
		},
		fetch: func(ctx context.Context, p *profile) error {
			text, err := r.do(ctx, "GET", "application/json", "", nil)
			if err != nil {
				return err
			}
			return json.Unmarshal(text, p)
		},
		create: func(ctx context.Context, p *profile) error {
			text, err := json.Marshal(p)
			if err == nil {
				_, err = r.do(ctx, "POST", "application/json", "application/json", bytes.NewReader(text))
			}
			return err
		},
		upload: func(ctx context.Context, file []byte) error {
			_, err := r.do(ctx, "POST", "application/json", "application/octet-stream", bytes.NewReader(file))
			return err
		},
	}
}}

type retrying struct {
	client *retryablehttp.Client
	url    string
	token  *atomic.Pointer[string]
}

func (r retrying) do(ctx context.Context, method, accept, kind string, body *bytes.Reader) ([]byte, error) {
	var content any // not a nil *bytes.Reader
	if body != nil {
		content = body
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, method, r.url, content)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	req.Header.Set("Authorization", "Bearer "+*r.token.Load())
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	return read(r.client.Do(req))
}
