//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/redisstore"
	"github.com/rebearer/rebearer/transport"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"
)

// contender returns the successor of a spent pair.
type contender func(ctx context.Context, spent pair) (pair, error)

// contenders are the ways there are to do that. All have a Redis client with the
// default options, and exchange by the same code.
var contenders = map[string]func(*redis.Client, *transport.TokenEndpoint) contender{
	"rebearer":      newRebearer,
	"redsync":       func(c *redis.Client, e *transport.TokenEndpoint) contender { return newRecipe(c, e).lock },
	"redsync tuned": func(c *redis.Client, e *transport.TokenEndpoint) contender { return newRecipe(c, e).share },
}

func tokenOf(p pair) tokencache.Token {
	return tokencache.NewToken(tokencache.TokenFields{Access: p.Access, Refresh: p.Refresh})
}

func pairOf(t tokencache.Token) pair { return pair{t.Access(), t.Refresh()} }

func newRebearer(client *redis.Client, endpoint *transport.TokenEndpoint) contender {
	c := &tokencache.Coordinator{Refresher: endpoint, Store: &redisstore.Store{Client: client}, Realm: "storm"}
	return func(ctx context.Context, spent pair) (pair, error) {
		got, err := c.Refresh(ctx, tokenOf(spent))
		return pairOf(got), err
	}
}

// recipe is how it is done with a lock in Redis.
type recipe struct {
	client   *redis.Client
	locks    *redsync.Redsync
	endpoint *transport.TokenEndpoint
	flights  singleflight.Group
}

func newRecipe(client *redis.Client, endpoint *transport.TokenEndpoint) *recipe {
	return &recipe{client: client, locks: redsync.New(goredis.NewPool(client)), endpoint: endpoint}
}

// retry is how long who has not got the lock waits; it is tried for a minute.
const retry, tries = 10 * time.Millisecond, 6000

// keep is how long a successor is kept, as by rebearer.
const keep = 24 * time.Hour

func (r *recipe) mutex(id string) *redsync.Mutex {
	return r.locks.NewMutex("lock:"+id, redsync.WithExpiry(15*time.Second),
		redsync.WithRetryDelay(retry), redsync.WithTries(tries))
}

func idOf(spent pair) string {
	sum := sha256.Sum256([]byte(spent.Refresh))
	return hex.EncodeToString(sum[:])
}

// lock is the usual recipe, in each goroutine: read the result; if there is none,
// lock, read again, exchange, store, unlock.
func (r *recipe) lock(ctx context.Context, spent pair) (pair, error) {
	id := idOf(spent)
	if next, ok, err := r.result(ctx, id); ok || err != nil {
		return next, err
	}
	m := r.mutex(id)
	if err := m.LockContext(ctx); err != nil {
		return pair{}, err
	}
	defer m.UnlockContext(ctx)
	return r.exchange(ctx, id, spent)
}

// share is what can be made of the recipe: one goroutine of each process does it
// for all others, and looks for the result each time that it has not got the lock.
func (r *recipe) share(_ context.Context, spent pair) (pair, error) {
	id := idOf(spent)
	next, err, _ := r.flights.Do(id, func() (any, error) {
		ctx := context.Background() // it belongs to no caller
		m := r.mutex(id)
		for range tries {
			if next, ok, err := r.result(ctx, id); ok || err != nil {
				return next, err
			}
			if m.TryLockContext(ctx) == nil {
				defer m.UnlockContext(ctx)
				return r.exchange(ctx, id, spent)
			}
			time.Sleep(retry)
		}
		return pair{}, fmt.Errorf("no lock in %d tries", tries)
	})
	return next.(pair), err
}

// result reads what somebody has stored.
func (r *recipe) result(ctx context.Context, id string) (next pair, ok bool, err error) {
	text, err := r.client.Get(ctx, "result:"+id).Bytes()
	if err == redis.Nil {
		return pair{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &next)
	}
	return next, err == nil, err
}

// exchange is what whoever has the lock does.
func (r *recipe) exchange(ctx context.Context, id string, spent pair) (pair, error) {
	if next, ok, err := r.result(ctx, id); ok || err != nil {
		return next, err
	}
	got, err := r.endpoint.Refresh(ctx, tokenOf(spent))
	if err != nil {
		return pair{}, err
	}
	next := pairOf(got)
	text, err := json.Marshal(next)
	if err != nil {
		return pair{}, err
	}
	return next, r.client.Set(ctx, "result:"+id, text, keep).Err()
}
