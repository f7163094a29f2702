package main

import (
	"errors"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

func main() {
	as := &transport.TokenEndpoint{URL: "https://as.example.com/token", ClientID: "bff", ClientSecret: os.Getenv("SECRET")}
	coordinator := &tokencache.Coordinator{Refresher: as}
	api := &http.Client{Transport: &transport.Transport{Origins: []string{"https://api.example.com"}}}

	http.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		cache := tokencache.New(coordinator, shown(r))
		ctx := tokencache.NewContext(r.Context(), cache)
		req, _ := http.NewRequestWithContext(ctx, "GET", "https://api.example.com/users/me", nil)
		resp, err := api.Do(req) // signed; after a 401 refreshed once, and sent again
		if err == nil {
			defer resp.Body.Close()
		}
		if t, changed := cache.Changed(); changed {
			setCookies(w, t)
		}
		if errors.Is(cache.Err(), tokencache.ErrLoginRequired) { // proved, never guessed
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		}
		if err != nil {
			http.Error(w, "try again soon", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", nil))
}
