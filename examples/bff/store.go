package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/redisstore"
)

// sharedStore is the Store on Redis. It says when Redis falls silent and when it
// answers again, in the log and in the timeline; the Coordinator copes with
// either by itself.
type sharedStore struct {
	*redisstore.Store
	log      *slog.Logger
	timeline *timeline
	silent   atomic.Bool
	answers  atomic.Int64
	tries    sync.WaitGroup
	stop     context.CancelFunc
}

// share opens the Store, if there is to be one. It does not connect, so that its
// error is always about the URL, and quotes nothing of it.
func (b *bff) share() error {
	if b.redisURL == "" {
		return nil
	}
	store, err := redisstore.Open(b.redisURL)
	if err != nil {
		return fmt.Errorf("BFF_REDIS_URL: %w", err)
	}
	b.store = &sharedStore{Store: store, log: b.log, timeline: b.timeline}
	return nil
}

// announce says with whom sessions are shared, and tries whether Redis answers.
// Nobody waits for that: Redis may come later, and until then every page is
// served whose access token works.
func (b *bff) announce() {
	if b.store == nil {
		b.timeline.add(entry{Kind: kindStore}, time.Time{}, "Sessions are this process's own: what it exchanges is kept in its memory.")
		return
	}
	b.timeline.add(entry{Kind: kindStore}, time.Time{}, "Sessions are shared by way of Redis, with all processes that have the same authorization server and client.")
	switch {
	case b.demo == nil:
	case b.style == styleOAuth2:
		b.log.Info("the embedded servers are this process's own: to share its sessions, start others with these variables, and the same "+
			"BFF_REDIS_URL, BFF_CLIENT_ID and BFF_CLIENT_SECRET", "BFF_REFRESH_STYLE", b.style, "BFF_API_URL", b.backend.api,
			"BFF_TOKEN_URL", b.backend.refresh, "BFF_REVOKE_URL", b.backend.revoke)
	default:
		b.log.Warn("the embedded servers are this process's own, so that Redis is shared with nobody: " +
			"set BFF_API_URL to the same in all processes, or BFF_REFRESH_STYLE=oauth2 to be told what the others need")
	}
	ctx, stop := context.WithCancel(context.Background())
	b.store.stop = stop
	b.store.tries.Go(func() { b.store.try(ctx) })
}

// try writes what ends after a moment. A Redis that cannot be written to, or is
// too old, is of no more use than one that is down.
func (s *sharedStore) try(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s.Swap(ctx, "the bff tries this Redis", "", []byte("written"), time.Second)
}

// Load implements tokencache.Store.
func (s *sharedStore) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	before := s.answers.Load()
	e, err := s.Store.Load(ctx, key)
	s.note(before, err)
	return e, err
}

// Swap implements tokencache.Store.
func (s *sharedStore) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	before := s.answers.Load()
	e, ok, err := s.Store.Swap(ctx, key, old, value, ttl)
	s.note(before, err)
	return e, ok, err
}

// note takes a change down, rather than every error of an outage. What has failed
// since so many answers is old news if there was another one meanwhile.
func (s *sharedStore) note(before int64, err error) {
	if err == nil {
		s.answers.Add(1)
	}
	switch {
	case errors.Is(err, context.Canceled): // we are ending
	case err != nil && s.answers.Load() == before && s.silent.CompareAndSwap(false, true):
		s.log.Warn("Redis does not answer as it should: pages are served while their access tokens live, and nothing is refreshed", "err", err)
		s.timeline.add(entry{Kind: kindFailed}, time.Time{}, "Redis gives no answer of use: nothing is refreshed until there is one.")
	case err == nil && s.silent.CompareAndSwap(true, false):
		s.log.Info("Redis answers again")
		s.timeline.add(entry{Kind: kindStore}, time.Time{}, "Redis answers again.")
	}
}

// close ends the Store. Call it after Coordinator.Wait.
func (s *sharedStore) close() {
	if s.stop != nil {
		s.stop()
	}
	s.tries.Wait()
	if err := s.Close(); err != nil {
		s.log.Warn("the Store did not close well", "err", err)
	}
}
