package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// touch is a write that changes nothing, for WAIT to speak of.
var touch = redis.NewScript(`
local now = redis.call('GET', KEYS[1])
if now and string.sub(now, 1, 16) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1`)

// patience is for how long one WAIT blocks. An answer that takes longer than the
// client's ReadTimeout would be taken for a broken connection.
const patience = 500 * time.Millisecond

// replicated makes a write and waits for the replicas. What is sent to one node
// does not follow a key that moves, or a master that changes, so that it is
// tried again.
func (s *Store) replicated(ctx context.Context, w write) (is outcome, err error) {
	for range 3 {
		if is, err = s.onMaster(ctx, w); err == nil || err == errReplica || ctx.Err() != nil {
			break
		}
		s.doubt(ctx, err)
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return is, err
}

// onMaster uses a pipeline, since WAIT speaks of the writes of its own connection.
func (s *Store) onMaster(ctx context.Context, w write) (outcome, error) {
	node, err := s.master(ctx, w.key)
	if err != nil {
		return outcome{}, err
	}
	pipe := node.Pipeline()
	written := w.on(ctx, pipe, swap.Eval)
	for first := true; ; first = false {
		acks := pipe.Do(ctx, "WAIT", s.WaitReplicas, patience.Milliseconds())
		pipe.Exec(ctx) // each command has its own error
		if first {
			if is, err := written(); err != nil || !is.ours {
				return is, err
			}
		}
		n, err := acks.Int()
		switch {
		case err != nil:
			return outcome{}, err
		case n >= s.WaitReplicas:
			return outcome{w.blob, true}, nil
		case ctx.Err() != nil:
			return outcome{}, errReplica
		}
		pipe = node.Pipeline()
		touch.Eval(ctx, pipe, []string{w.key}, w.version(), w.ttl.Milliseconds())
	}
}

// version is the new one, "" for a write that deletes.
func (w write) version() string { return w.blob[:min(len(w.blob), versionSize)] }

// master returns the client of the node that has the key.
func (s *Store) master(ctx context.Context, key string) (*redis.Client, error) {
	if c, ok := s.Client.(*redis.ClusterClient); ok {
		return c.MasterForKey(ctx, key)
	}
	return s.Client.(*redis.Client), nil // check lets nothing else in
}
