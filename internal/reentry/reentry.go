// Package reentry marks the context of an exchange, so that a Transport or a
// Coordinator that meets the mark can refuse to start another one inside it.
package reentry

import "context"

type key struct{}

// Mark returns a context that carries the mark.
func Mark(ctx context.Context) context.Context {
	return context.WithValue(ctx, key{}, true)
}

// Marked reports whether ctx carries the mark.
func Marked(ctx context.Context) bool {
	return ctx.Value(key{}) != nil
}
