// Package reentry marks the context of an exchange, so that a Transport or a
// Coordinator that meets the mark can refuse to start another one inside it. A
// marked context shows no Cache, so that whoever finds one need not look for the
// mark.
package reentry

import "context"

type key struct{}

// CacheKey is the key of the Cache in a context.
type CacheKey struct{}

type marked struct{ context.Context }

// Mark returns a context that carries the mark, and hides the Cache that ctx
// carries.
func Mark(ctx context.Context) context.Context { return marked{ctx} }

// Value implements context.Context.
func (m marked) Value(k any) any {
	switch k {
	case key{}:
		return true
	case CacheKey{}:
		return nil
	}
	return m.Context.Value(k)
}

// Marked reports whether ctx carries the mark.
func Marked(ctx context.Context) bool {
	return ctx.Value(key{}) != nil
}
