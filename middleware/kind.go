package middleware

import (
	"net/http"
	"strings"
)

// kind is what a browser wants with a request (Fetch Metadata; without it, what
// it accepts).
type kind struct {
	// navigation is a page that somebody looks at: it can be sent to a login
	// page. All else is a fetch by a program, which wants a status.
	navigation bool
	// document is a navigation of a whole tab.
	document bool
	// passive is what nobody asked for yet, or what is no page: prefetches,
	// images and the like, and OPTIONS. It never refreshes.
	passive bool
}

// The names of the header are written here as net/http keeps them, so that they
// are found without being spelled anew with each request.

func kindOf(r *http.Request) kind {
	h := r.Header
	dest := first(h["Sec-Fetch-Dest"])
	k := kind{passive: r.Method == http.MethodOptions || prefetches(h)}
	switch dest {
	case "document":
		k.navigation, k.document = true, true
	case "iframe", "frame":
		k.navigation = true
	case "image", "script", "style", "font":
		k.passive = true
	case "":
		accept, mode := first(h["Accept"]), first(h["Sec-Fetch-Mode"])
		switch {
		case mode == "navigate":
			k.navigation, k.document = true, true
		case mode != "", first(h["X-Requested-With"]) != "", first(h["Upgrade"]) != "":
		case strings.HasPrefix(accept, "image/"), strings.HasPrefix(accept, "text/css"), strings.HasPrefix(accept, "font/"):
			k.passive = true
		case strings.Contains(accept, "text/html"):
			k.navigation, k.document = true, true
		}
	}
	return k
}

// prefetches reports whether the browser, or the router of a page, fetches what
// may never be looked at.
func prefetches(h http.Header) bool {
	return early(h["Sec-Purpose"]) || early(h["Purpose"]) || early(h["X-Purpose"]) || early(h["X-Moz"]) || first(h["Next-Router-Prefetch"]) != ""
}

func early(purpose []string) bool {
	if len(purpose) == 0 {
		return false
	}
	v := strings.ToLower(purpose[0])
	return strings.Contains(v, "prefetch") || strings.Contains(v, "prerender") || strings.Contains(v, "preview")
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
