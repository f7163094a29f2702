package main

import (
	"bytes"
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-resty/resty/v2"
)

// resty2Alone is what rebearer's client is compared with: resty v2 with the
// same settings, nobody is signed in.
var resty2Alone = contender{name: "resty v2, unsigned", renews: never, anonymous: true, open: func(s *site) *door {
	c := newResty2(s)
	c.OnAfterResponse(func(*resty.Client, *resty.Response) error { return nil })
	return overResty2(func(ctx context.Context) *resty.Request { return c.R().SetContext(ctx) }, asReader)
}}

// resty2Hook is resty v2 as it is used with tokens that end: the token is set on
// the request, a 401 is a reason to retry, and the hook has a new token.
var resty2Hook = contender{name: "resty v2, 401 hook", renews: replays, open: func(s *site) *door {
	var token atomic.Pointer[string]
	token.Store(&s.user.first)
	c := newResty2(s)
	c.SetRetryCount(1).SetRetryWaitTime(time.Microsecond).SetRetryMaxWaitTime(time.Microsecond)
	c.AddRetryCondition(func(resp *resty.Response, err error) bool {
		return err == nil && resp.StatusCode() == http.StatusUnauthorized
	})
	c.AddRetryHook(func(resp *resty.Response, _ error) {
		if next, err := s.user.exchange(resp.Request.Context()); err == nil {
			token.Store(&next)
			resp.Request.SetAuthToken(next)
		}
	})
	return overResty2(func(ctx context.Context) *resty.Request { return c.R().SetContext(ctx).SetAuthToken(*token.Load()) }, asBytes)
}}

// newResty2 returns a client without what it could have on top.
func newResty2(s *site) *resty.Client {
	c := resty.NewWithClient(&http.Client{Transport: s.base})
	c.SetBaseURL(s.url).SetDisableWarn(true)
	return c
}

// asReader is a body that resty does not copy.
func asReader(file []byte) any { return bytes.NewReader(file) }

// asBytes is one that it copies, twice. It is what works with a retry: a reader that
// has been read is sent as an empty body.
func asBytes(file []byte) any { return file }

// overResty2 is the door of who has a resty v2 client.
func overResty2(request func(context.Context) *resty.Request, body func([]byte) any) *door {
	return &door{
		get: func(ctx context.Context) error {
			return checkResty2(request(ctx).Get(path))
		},
		accept: func(ctx context.Context) error {
			return checkResty2(request(ctx).SetHeader("Accept", "application/json").Get(path))
		},
		fetch: func(ctx context.Context, p *profile) error {
			return checkResty2(request(ctx).SetHeader("Accept", "application/json").SetResult(p).Get(path))
		},
		create: func(ctx context.Context, p *profile) error {
			return checkResty2(request(ctx).SetHeader("Accept", "application/json").SetBody(p).Post(path))
		},
		upload: func(ctx context.Context, file []byte) error {
			return checkResty2(request(ctx).SetHeader("Accept", "application/json").SetHeader("Content-Type", "application/octet-stream").SetBody(body(file)).Post(path))
		},
	}
}

func checkResty2(resp *resty.Response, err error) error {
	if err != nil {
		return err
	}
	if resp.StatusCode() != http.StatusOK {
		return errStatus
	}
	return nil
}
