package main

import (
	"bytes"
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"resty.dev/v3"
)

var resty3Alone = contender{name: "resty v3, unsigned", renews: never, anonymous: true, open: func(s *site) *door {
	c := newResty3(s)
	return overResty3(func(ctx context.Context) *resty.Request { return c.R().SetContext(ctx) })
}}

// resty3Hook is the same as resty2Hook, with what v3 has in its place.
var resty3Hook = contender{name: "resty v3, 401 hook", renews: replays, open: func(s *site) *door {
	var token atomic.Pointer[string]
	token.Store(&s.user.first)
	c := newResty3(s)
	c.SetRetryCount(1).SetRetryWaitTime(time.Microsecond).SetRetryMaxWaitTime(time.Microsecond).SetRetryAllowNonIdempotent(true)
	c.AddRetryConditions(func(resp *resty.Response, err error) bool {
		return err == nil && resp.StatusCode() == http.StatusUnauthorized
	})
	c.AddRetryHooks(func(resp *resty.Response, _ error) {
		if next, err := s.user.exchange(resp.Request.Context()); err == nil {
			token.Store(&next)
			resp.Request.SetAuthToken(next)
		}
	})
	return overResty3(func(ctx context.Context) *resty.Request { return c.R().SetContext(ctx).SetAuthToken(*token.Load()) })
}}

func newResty3(s *site) *resty.Client {
	c := resty.NewWithClient(&http.Client{Transport: s.base})
	return c.SetBaseURL(s.url).SetLoggerWarnLevel(true)
}

func overResty3(request func(context.Context) *resty.Request) *door {
	return &door{
		get: func(ctx context.Context) error {
			return checkResty3(request(ctx).Get(path))
		},
		accept: func(ctx context.Context) error {
			return checkResty3(request(ctx).SetHeader("Accept", "application/json").Get(path))
		},
		fetch: func(ctx context.Context, p *profile) error {
			return checkResty3(request(ctx).SetHeader("Accept", "application/json").SetResult(p).Get(path))
		},
		create: func(ctx context.Context, p *profile) error {
			return checkResty3(request(ctx).SetHeader("Accept", "application/json").SetBody(p).Post(path))
		},
		// v3 does not copy a reader, and rewinds it for a retry.
		upload: func(ctx context.Context, file []byte) error {
			return checkResty3(request(ctx).SetHeader("Accept", "application/json").SetHeader("Content-Type", "application/octet-stream").SetBody(bytes.NewReader(file)).Post(path))
		},
	}
}

// checkResty3 has the body read into memory, where v3 has not decoded it.
func checkResty3(resp *resty.Response, err error) error {
	if err != nil {
		return err
	}
	resp.Bytes()
	if resp.StatusCode() != http.StatusOK {
		return errStatus
	}
	return nil
}
