package main

import (
	"io"
	"net/http"
	"time"
)

// headers sets what every answer has. The policy is a strict one: whatever the
// pages need, the boundary page included, works without inline script.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// limit refuses a body that is too long: at once if it says so, else when too
// much was read of it, with an *http.MaxBytesError.
func limit(next http.Handler) http.Handler {
	limited := http.MaxBytesHandler(next, maxBody)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxBody {
			refuseBody(w, r)
			return
		}
		limited.ServeHTTP(w, r)
	})
}

const (
	maxRefused = 64 << 20
	maxWait    = 5 * time.Second
)

// refuseBody answers 413, and then reads on for a while: a connection that is
// closed while a browser is still sending shows an error of the network there,
// and no answer.
func refuseBody(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close")
	http.Error(w, "the body is longer than 16 MiB", http.StatusRequestEntityTooLarge)
	if r.Header.Get("Expect") != "" {
		return // it waits for leave to send, which it has not got
	}
	rc := http.NewResponseController(w)
	if rc.Flush() == nil && rc.SetReadDeadline(time.Now().Add(maxWait)) == nil {
		io.Copy(io.Discard, io.LimitReader(r.Body, maxRefused))
	}
}
