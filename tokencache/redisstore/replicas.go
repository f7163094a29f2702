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

// replicated makes a write and waits for the replicas, until ctx ends: an error
// that came sooner would have the Coordinator look, and take what it finds for
// stored.
func (s *Store) replicated(ctx context.Context, w write) (outcome, error) {
	for {
		is, err := s.onMaster(ctx, w)
		if err == nil {
			return is, nil
		}
		// One node does not follow a key that moves, or a master that changes.
		s.doubt(ctx, err)
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return outcome{}, err
		}
	}
}

// onMaster uses a pipeline, since WAIT speaks of the writes of its own
// connection. The touch is for a write that is found to have been made on
// another one.
func (s *Store) onMaster(ctx context.Context, w write) (outcome, error) {
	node, err := s.master(ctx, w.key)
	if err != nil {
		return outcome{}, err
	}
	pipe := node.Pipeline()
	written := w.on(ctx, pipe, swap.Eval)
	touch.Eval(ctx, pipe, []string{w.key}, w.version(), w.ttl.Milliseconds())
	acks := pipe.Do(ctx, "WAIT", s.WaitReplicas, patience.Milliseconds())
	pipe.Exec(ctx) // each command has its own error
	is, err := written()
	if err != nil || !is.ours {
		return is, err
	}
	n, err := acks.Int()
	if err == nil && n < s.WaitReplicas {
		err = errReplica
	}
	return is, err
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
