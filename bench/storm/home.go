//go:build unix

package main

import (
	"context"
	"net/http"
	"sync"

	"golang.org/x/sync/singleflight"
)

// What one writes at home: round trippers that refresh after a 401 and send the
// request again. They get requests without a body only.

// newSingleflight has those who meet a 401 at the same time share one exchange.
// The group is of the process, and a key of it is of one user, so that pages of the
// same user share, too.
func newSingleflight(s site) func(pair) page {
	group := &singleflight.Group{}
	return func(p pair) page {
		rt := &flown{site: s, group: group, user: "ann", now: p}
		return rt.page(s)
	}
}

type flown struct {
	site
	group *singleflight.Group
	user  string

	mu  sync.RWMutex
	now pair
}

func (f *flown) page(s site) page {
	client := &http.Client{Transport: f}
	return func(ctx context.Context) (int, error) { return get(ctx, client, s.me, "") }
}

func (f *flown) tokens() pair {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.now
}

func (f *flown) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := f.base.RoundTrip(signed(req, f.tokens().Access))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	if err := finish(resp); err != nil {
		return nil, err
	}
	next, err, _ := f.group.Do(f.user, func() (any, error) {
		next, err := f.exchange(context.WithoutCancel(req.Context()), f.tokens().Refresh)
		if err == nil {
			f.mu.Lock()
			f.now = next
			f.mu.Unlock()
		}
		return next, err
	})
	if err != nil {
		return nil, err
	}
	return f.base.RoundTrip(signed(req, next.(pair).Access))
}

// signed is a copy of the request that carries the access token.
func signed(req *http.Request, access string) *http.Request {
	copied := req.Clone(req.Context())
	copied.Header.Set("Authorization", "Bearer "+access)
	return copied
}

// newLocked is the careful way: one lock for each page, and whoever has it looks
// first whether the access token that was rejected has been replaced. Hooks of
// resty or go-retryablehttp that do the same fare the same.
func newLocked(s site) func(pair) page {
	return func(p pair) page {
		client := &http.Client{Transport: &locked{site: s, now: p}}
		return func(ctx context.Context) (int, error) { return get(ctx, client, s.me, "") }
	}
}

type locked struct {
	site

	exchanging sync.Mutex
	mu         sync.RWMutex
	now        pair
}

func (l *locked) tokens() pair {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.now
}

func (l *locked) RoundTrip(req *http.Request) (*http.Response, error) {
	access := l.tokens().Access
	resp, err := l.base.RoundTrip(signed(req, access))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	if err := finish(resp); err != nil {
		return nil, err
	}
	if access, err = l.replace(req.Context(), access); err != nil {
		return nil, err
	}
	return l.base.RoundTrip(signed(req, access))
}

// replace returns the access token that replaces the one that was rejected.
func (l *locked) replace(ctx context.Context, rejected string) (string, error) {
	l.exchanging.Lock()
	defer l.exchanging.Unlock()
	now := l.tokens()
	if now.Access != rejected {
		return now.Access, nil
	}
	next, err := l.exchange(context.WithoutCancel(ctx), now.Refresh)
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = next
	return next.Access, nil
}

// newMemo is the memo's interceptor: a page remembers the new access token; who
// meets a 401 has one made of the cookies, which stay as they are while the page is
// rendered, and goes through the interceptor again.
func newMemo(s site) func(pair) page {
	return func(p pair) page {
		m := &memo{site: s, cookies: p}
		client := &http.Client{Transport: m}
		return func(ctx context.Context) (int, error) { return get(ctx, client, s.me, "") }
	}
}

type memo struct {
	site
	cookies pair

	mu    sync.Mutex
	newer string // access token
}

func (m *memo) RoundTrip(req *http.Request) (*http.Response, error) {
	m.mu.Lock()
	access := m.newer
	m.mu.Unlock()
	if access == "" {
		access = m.cookies.Access
	}
	resp, err := m.base.RoundTrip(signed(req, access))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	next, err := m.exchange(req.Context(), m.cookies.Refresh)
	if err != nil {
		return resp, nil // the error that is thrown is the 401
	}
	if err := finish(resp); err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.newer = next.Access
	m.mu.Unlock()
	return m.RoundTrip(req)
}
