// Package shared is how package transport gets at what package tokencache gives
// nobody else, because whoever changes it changes it for others.
package shared

import "net/http"

// Header returns the header of a request that has no header but the Authorization
// of a tokencache.Token; nil if that cannot be sent. All such requests share it.
var Header func(token any) http.Header

// Session begins the value of a session that package middleware keeps in a
// tokencache.Store. It is no format of package tokencache; a MemoryStore does not
// evict such an entry, since nothing else knows its user.
const Session = "\x01s"
