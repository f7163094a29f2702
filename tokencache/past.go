package tokencache

import (
	"context"
	"encoding/binary"
	"time"
)

// The past is what this process has cut to Grace, see receive: a copy of the
// entry under another key, in this process's memory, for Caches that were made
// before Grace was over. A stream that outlives Grace would otherwise present a
// refresh token that was exchanged long ago, and a strict authorization server
// would end an honest session. Whoever comes later, a thief for one, is given
// nothing.
//
// A value is
//
//	receipt (8 bytes, unix milliseconds) | value as it was in the Store
//
// and stays sealed with the old refresh token. It begins with a zero, which is
// no format, so that a MemoryStore takes it for cheap.
const receiptSize = 8

func pastKey(id string) string { return "past " + id }

// remember keeps what is about to be cut, for Hold.
func (c *Coordinator) remember(id string, value []byte) {
	ctx, key := context.Background(), pastKey(id)
	was, _ := c.local.Load(ctx, key)
	receipt := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixMilli()))
	c.local.Swap(ctx, key, was.Version, append(receipt, value...), c.hold())
}

// recall returns what was under id before it was cut, for whoever was there
// before Grace was over. A zero since was not.
func (c *Coordinator) recall(id string, since time.Time) (Entry, bool) {
	if since.IsZero() {
		return Entry{}, false
	}
	e, _ := c.local.Load(context.Background(), pastKey(id))
	if len(e.Value) < receiptSize {
		return Entry{}, false
	}
	receipt := time.UnixMilli(int64(binary.BigEndian.Uint64(e.Value)))
	return Entry{Value: e.Value[receiptSize:], Version: e.Version}, since.Before(receipt.Add(c.grace()))
}

// recalled returns v, unless it says nothing of what became of the refresh
// token: the entry has gone, or somebody has presented the token again and was
// refused, which is no news of the newest one.
func (x *exchange) recalled(k keys, v view) view {
	if v.state == absent || v.state == failed && v.ends() {
		if e, ok := x.recall(k.id, x.since); ok {
			if was, err := k.open(e); err == nil {
				return view{record: was, Entry: v.Entry, past: true}
			}
		}
	}
	return v
}
