package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/redis/go-redis/v9"
)

// Store is a [tokencache.Store] on Redis or Valkey. It is safe for concurrent
// use; its fields must not be changed after first use, and it must not be copied
// then. It starts nothing before its first use.
type Store struct {
	// Client speaks to Redis. It is required, and stays the caller's: Close does
	// not close it. It must read from masters only, and must not be a
	// [redis.Ring], whose nodes know nothing of each other's writes.
	//
	// Its options say how long a command may take and how often it is tried.
	// Whatever they say, a method of Store returns when its context ends.
	Client redis.UniversalClient

	// Prefix begins the name of every key and of the channel. Two programs that
	// share a Redis need no Prefixes of their own, since the Coordinator's Realm
	// keeps them apart. If empty, "rebearer:".
	Prefix string

	// WaitReplicas is how many of Redis's replicas must have a write before it
	// counts. As long as fewer answer, nothing is presented: refreshes fail
	// with reason.Store after a few leases. It costs a WAIT for each write. If
	// zero, the master's word is enough.
	WaitReplicas int

	once    sync.Once
	feed    *feed
	invalid error
	owned   io.Closer // the Client, if Open made it
}

// versionSize is the length of a version: 12 random bytes in base64. A stored
// value, a blob, is a version and what the Coordinator wrote.
const versionSize = 16

func newVersion() string {
	var v [versionSize * 3 / 4]byte
	rand.Read(v[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(v[:])
}

var (
	errClosed  = errors.New("redisstore: the Store is closed")
	errForeign = errors.New("redisstore: the key holds what no Store has written")
	errReplica = errors.New("redisstore: fewer replicas than WaitReplicas have the write")
	errTooOld  = errors.New("redisstore: this server does not know SET with NX and GET; it takes Redis 7.0 or Valkey")
)

// swap compares and sets, and tells everybody who waits. The message is the
// version that was replaced, followed by the blob; an empty blob deletes.
var swap = redis.NewScript(`
local now = redis.call('GET', KEYS[1])
if (now and string.sub(now, 1, 16) or '') ~= ARGV[1] then return now end
if ARGV[2] == '' then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
redis.call('PUBLISH', ARGV[4], ARGV[1] .. ARGV[2])
return 1`)

// open checks the Store at its first use, and subscribes.
func (s *Store) open() error {
	s.once.Do(func() {
		if s.invalid = check(s.Client); s.invalid == nil {
			s.feed = subscribe(s.Client, s.channel())
		}
	})
	return s.invalid
}

func check(client redis.UniversalClient) error {
	none := errors.New("redisstore: the Store has no Client")
	switch c := client.(type) {
	case nil:
		return none
	case *redis.Client:
		if c == nil {
			return none
		}
	case *redis.ClusterClient:
		if c == nil {
			return none
		}
		if o := c.Options(); o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			return errors.New("redisstore: the Client reads from replicas, which lag behind")
		}
	default:
		return fmt.Errorf("redisstore: the Client must be a *redis.Client or a *redis.ClusterClient, not a %T", c)
	}
	return nil
}

// Close ends the subscription. Whoever still waits is served by reading; a Store
// that was not used yet never will be. Call it after [tokencache.Coordinator.Wait].
func (s *Store) Close() error {
	s.once.Do(func() { s.invalid = errClosed })
	var err error
	if s.feed != nil {
		err = s.feed.close()
	}
	if s.owned == nil {
		return err
	}
	closed := s.owned.Close()
	if closed == redis.ErrClosed { // by an earlier Close
		closed = nil
	}
	return errors.Join(err, closed)
}

// Format prints no field: the options of a Client hold a password.
func (s *Store) Format(f fmt.State, _ rune) { io.WriteString(f, "redisstore.Store(…)") }

func (s *Store) prefix() string {
	if s.Prefix == "" {
		return "rebearer:"
	}
	return s.Prefix
}

func (s *Store) name(key string) string { return s.prefix() + key }
func (s *Store) channel() string        { return s.prefix() + "changes" }

// Load implements [tokencache.Store].
func (s *Store) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	if err := s.open(); err != nil {
		return tokencache.Entry{}, err
	}
	e, err := within(ctx, func() (tokencache.Entry, error) {
		blob, err := s.Client.Get(ctx, s.name(key)).Result()
		if err == redis.Nil {
			return tokencache.Entry{}, nil
		}
		if err == nil && blob == "" {
			err = errForeign
		}
		if err != nil {
			return tokencache.Entry{}, err
		}
		return entryOf(blob)
	})
	s.doubt(ctx, err)
	return e, err
}

// doubt has a Cluster's client look where the keys are now: a master that has
// died may have been replaced, which it would else notice late.
func (s *Store) doubt(ctx context.Context, err error) {
	if c, ok := s.Client.(*redis.ClusterClient); ok && err != nil {
		c.ReloadState(ctx)
	}
}

// entryOf splits a blob; that of nothing is empty.
func entryOf(blob string) (tokencache.Entry, error) {
	switch {
	case blob == "":
		return tokencache.Entry{}, nil
	case len(blob) < versionSize:
		return tokencache.Entry{}, errForeign
	}
	return tokencache.Entry{Version: blob[:versionSize], Value: []byte(blob[versionSize:])}, nil
}

// Swap implements [tokencache.Store]. The first write under a key is one SET, of
// which Wait learns by reading; any other is one script, which sends a message.
func (s *Store) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	if err := s.open(); err != nil {
		return tokencache.Entry{}, false, err
	}
	w := write{key: s.name(key), old: old, channel: s.channel()}
	if value != nil && ttl > 0 {
		w.blob = newVersion() + string(value)
		w.ttl = max(ttl.Round(time.Millisecond), time.Millisecond)
	}
	is, err := within(ctx, func() (outcome, error) { return s.write(ctx, w) })
	if err != nil {
		s.doubt(ctx, err)
		return tokencache.Entry{}, false, err
	}
	e, err := entryOf(is.blob)
	return e, is.ours && err == nil, err
}

// write is a compare-and-swap.
type write struct {
	key, old string
	blob     string // empty: to delete
	ttl      time.Duration
	channel  string
}

// outcome is the blob that is there after a write, and whether that is its doing.
type outcome struct {
	blob string
	ours bool
}

// found is what there is after a write that, as far as Redis says, has failed. If
// it is ours all the same, an answer was lost and the client has sent the command
// twice.
func (w write) found(blob string) (outcome, error) {
	if len(blob) < versionSize {
		return outcome{}, errForeign
	}
	return outcome{blob, blob == w.blob}, nil
}

func (s *Store) write(ctx context.Context, w write) (outcome, error) {
	if s.WaitReplicas <= 0 {
		return w.on(ctx, s.Client, swap.Run)()
	}
	return s.replicated(ctx, w)
}

// commands is what a write needs, and both a client and a pipeline have.
type commands interface {
	redis.Scripter
	SetArgs(ctx context.Context, key string, value any, a redis.SetArgs) *redis.StatusCmd
	Get(ctx context.Context, key string) *redis.StringCmd
}

// runs is how a script is run.
type runs func(ctx context.Context, c redis.Scripter, keys []string, args ...any) *redis.Cmd

// on sends the write, or queues it, and returns what tells the outcome.
func (w write) on(ctx context.Context, c commands, run runs) func() (outcome, error) {
	switch {
	case w.old != "":
		cmd := run(ctx, c, []string{w.key}, w.old, w.blob, w.ttl.Milliseconds(), w.channel)
		return func() (outcome, error) { return w.swapped(cmd.Result()) }
	case w.blob == "":
		cmd := c.Get(ctx, w.key)
		return func() (outcome, error) { return w.first(cmd.Result()) }
	}
	cmd := c.SetArgs(ctx, w.key, w.blob, redis.SetArgs{Mode: "NX", Get: true, TTL: w.ttl})
	return func() (outcome, error) { return w.first(cmd.Result()) }
}

func (w write) swapped(is any, err error) (outcome, error) {
	switch blob, other := is.(string); {
	case err == redis.Nil: // nothing is there
		return outcome{}, nil
	case err != nil:
		return outcome{}, err
	case other:
		return w.found(blob)
	}
	return outcome{w.blob, true}, nil
}

// first is for a write where nothing was.
func (w write) first(blob string, err error) (outcome, error) {
	switch {
	case err == redis.Nil: // nothing was there
		return outcome{w.blob, true}, nil
	case err != nil && strings.Contains(err.Error(), "syntax error"):
		return outcome{}, errTooOld
	case err != nil:
		return outcome{}, err
	}
	return w.found(blob)
}

// within returns what f does, or the context's error as soon as that ends: a
// client that waits for a socket looks at no context.
func within[T any](ctx context.Context, f func() (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	type answer struct {
		v   T
		err error
	}
	done := make(chan answer, 1)
	go func() {
		a := answer{err: errors.New("redisstore: the Client panicked")}
		defer func() { recover(); done <- a }() // it is not the session's fault
		v, err := f()
		a = answer{v, err}
	}()
	select {
	case a := <-done:
		return a.v, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
