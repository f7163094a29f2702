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

func kindOf(r *http.Request) kind {
	h := r.Header
	dest := h.Get("Sec-Fetch-Dest")
	k := kind{passive: r.Method == http.MethodOptions || prefetches(h)}
	switch dest {
	case "document":
		k.navigation, k.document = true, true
	case "iframe", "frame":
		k.navigation = true
	case "image", "script", "style", "font":
		k.passive = true
	case "":
		accept := h.Get("Accept")
		switch {
		case h.Get("Sec-Fetch-Mode") == "navigate":
			k.navigation, k.document = true, true
		case h.Get("Sec-Fetch-Mode") != "", h.Get("X-Requested-With") != "", h.Get("Upgrade") != "":
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
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if v := h.Get(name); v != "" {
			v = strings.ToLower(v)
			if strings.Contains(v, "prefetch") || strings.Contains(v, "prerender") || strings.Contains(v, "preview") {
				return true
			}
		}
	}
	return h.Get("Next-Router-Prefetch") != ""
}
