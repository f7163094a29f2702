// Package shared is how packages transport and middleware get at what package
// tokencache gives nobody else: because whoever changes it changes it for others,
// or because only they have it to tell.
package shared

import (
	"context"
	"net/http"

	"github.com/rebearer/rebearer/tokencache/event"
)

// Header returns the header of a request that has no header but the Authorization
// of a tokencache.Token; nil if that cannot be sent. All such requests share it.
var Header func(token any) http.Header

// Tell tells an event to whom the Coordinator of a *tokencache.Cache tells its own.
var Tell func(ctx context.Context, cache any, e event.Event)

// Session begins the value of a session that package middleware keeps in a
// tokencache.Store. It is no format of package tokencache; a MemoryStore does not
// evict such an entry, since nothing else knows its user.
const Session = "\x01s"
