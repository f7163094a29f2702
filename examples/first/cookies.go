// Command first is the program of the README. It compiles, but the servers that
// it names do not exist: examples/quickstart is the one to run.
package main

import (
	"net/http"

	"github.com/rebearer/rebearer/tokencache"
)

const month = 30 * 24 * 60 * 60

// shown returns the tokens that the browser's cookies hold.
func shown(r *http.Request) tokencache.Token {
	var f tokencache.TokenFields
	if c, err := r.Cookie("__Host-access"); err == nil {
		f.Access = c.Value
	}
	if c, err := r.Cookie("__Host-refresh"); err == nil {
		f.Refresh = c.Value
	}
	return tokencache.NewToken(f)
}

// setCookies hands the new tokens to the browser, and to no cache on the way.
func setCookies(w http.ResponseWriter, t tokencache.Token) {
	w.Header().Set("Cache-Control", "private, no-store")
	for name, value := range map[string]string{"__Host-access": t.Access(), "__Host-refresh": t.Refresh()} {
		http.SetCookie(w, &http.Cookie{
			Name: name, Value: value, Path: "/", MaxAge: month,
			Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
	}
}
