package tokencache

import (
	"context"
	"time"
)

// Entry is what a [Store] holds under a key.
type Entry struct {
	// Value is opaque, and sealed where it is secret. It must not be changed.
	Value []byte
	// Version is new with every write, also after a delete. "" means that
	// there is nothing under the key.
	Version string
}

// Store is a register with compare-and-swap and a watch, shared by all
// processes that serve the same sessions. Its methods are called concurrently.
// Package storetest proves an implementation; [MemoryStore] is the one for a
// single process.
//
// Every method returns when its ctx ends. A Store that cannot answer returns an
// error; it never answers from a stale
// copy, and never reports as absent what it cannot read.
type Store interface {
	// Load returns what is under key, the zero Entry if nothing is.
	Load(ctx context.Context, key string) (Entry, error)

	// Swap writes value under key for ttl if the version is still old, where
	// "" means that nothing is there. A nil value deletes. It wakes every
	// Wait on the key, and returns what is there now; ok tells whether this
	// call wrote it. With an error the outcome is unknown.
	Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (now Entry, ok bool, err error)

	// Wait returns what is under key once its version differs from old, or
	// the context's error once ctx ends. It may return early with the version
	// unchanged, and must not rest on messages alone: one may be lost.
	Wait(ctx context.Context, key, old string) (Entry, error)
}
