//go:build unix

package main

import (
	"context"
	"net/http"
	"sync"

	resty2 "github.com/go-resty/resty/v2"
	"github.com/hashicorp/go-retryablehttp"
	resty3 "resty.dev/v3"
)

// Clients that send a request again have a hook between a failure and the next
// attempt. There their users refresh. All do so without a pause and once.

// holder has the tokens of a page. What replaces the rejected access token is made
// by an exchange each time, as the hook is mostly written, or after a look under a
// lock at whether somebody has done so: see locked.
type holder interface {
	access() string
	replace(ctx context.Context, rejected string) (string, error)
}

// plain is what the hook is mostly written like.
type plain struct {
	site

	mu  sync.Mutex
	now pair
}

func (h *plain) tokens() pair {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *plain) access() string { return h.tokens().Access }

func (h *plain) replace(ctx context.Context, _ string) (string, error) {
	next, err := h.exchange(ctx, h.tokens().Refresh)
	if err != nil {
		return "", err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = next
	return next.Access, nil
}

func (l *locked) access() string { return l.tokens().Access }

func plainly(s site, p pair) holder   { return &plain{site: s, now: p} }
func carefully(s site, p pair) holder { return &locked{site: s, now: p} }

// hooked makes a contender of a client with a hook.
func hooked(client func(site, holder) page, hold func(site, pair) holder) func(site) func(pair) page {
	return func(s site) func(pair) page {
		return func(p pair) page { return client(s, hold(s, p)) }
	}
}

func resty2Client(s site, h holder) page {
	client := resty2.New().SetTransport(s.base).SetLogger(silent{}).SetRetryCount(1).SetRetryWaitTime(0).SetRetryMaxWaitTime(0)
	client.OnBeforeRequest(func(_ *resty2.Client, r *resty2.Request) error {
		r.SetAuthToken(h.access())
		return nil
	})
	client.AddRetryCondition(func(r *resty2.Response, _ error) bool { return r.StatusCode() == http.StatusUnauthorized })
	client.AddRetryHook(func(r *resty2.Response, _ error) {
		h.replace(r.Request.Context(), r.Request.Token) // who fails here meets his second 401
	})
	return func(ctx context.Context) (int, error) {
		resp, err := client.R().SetContext(ctx).Get(s.me)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode(), nil
	}
}

func resty3Client(s site, h holder) page {
	client := resty3.New().SetTransport(s.base).SetLogger(silent{}).SetRetryCount(1).SetRetryWaitTime(0).SetRetryMaxWaitTime(0)
	client.AddRequestMiddleware(func(_ *resty3.Client, r *resty3.Request) error {
		r.SetAuthToken(h.access())
		return nil
	})
	client.AddRetryConditions(func(r *resty3.Response, _ error) bool { return r.StatusCode() == http.StatusUnauthorized })
	client.AddRetryHooks(func(r *resty3.Response, _ error) {
		h.replace(r.Request.Context(), r.Request.AuthToken)
	})
	return func(ctx context.Context) (int, error) {
		resp, err := client.R().SetContext(ctx).Get(s.me)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode(), finish(resp.RawResponse) // nobody else reads it
	}
}

type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}

func retryableClient(s site, h holder) page {
	client := &retryablehttp.Client{
		HTTPClient: &http.Client{Transport: s.base}, RetryMax: 1, Backoff: retryablehttp.DefaultBackoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
		CheckRetry: func(_ context.Context, resp *http.Response, err error) (bool, error) {
			return err == nil && resp.StatusCode == http.StatusUnauthorized, err
		},
		PrepareRetry: func(req *http.Request) error {
			rejected := req.Header.Get("Authorization")[len("Bearer "):]
			next, err := h.replace(req.Context(), rejected)
			if err == nil {
				req.Header.Set("Authorization", "Bearer "+next)
			}
			return err
		},
	}
	return func(ctx context.Context) (int, error) {
		req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, s.me, nil)
		if err != nil {
			return 0, err
		}
		req.Header.Set("Authorization", "Bearer "+h.access())
		resp, err := client.Do(req)
		if resp == nil {
			return 0, err
		}
		if done := finish(resp); err == nil {
			err = done
		}
		return resp.StatusCode, err
	}
}
