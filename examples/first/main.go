package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

func main() {
	as := &transport.TokenEndpoint{URL: "https://as.example.com/token", ClientID: "bff", ClientSecret: os.Getenv("SECRET")}
	auth := &middleware.Authenticator{
		Coordinator: &tokencache.Coordinator{Refresher: as},
		Verifier:    &middleware.Verifier{Algorithms: []string{"RS256"}, JWKSURL: "https://as.example.com/jwks"},
	}
	api := client.New("https://api.example.com", &transport.Transport{Origins: []string{"https://api.example.com"}})

	me := func(w http.ResponseWriter, r *http.Request) error {
		var user struct{ Name string }
		_, err := api.R(r.Context()).SetResult(&user).Get("/users/me") // after a 401 refreshed once, and sent again
		if err != nil {
			return err // answered as it should be: login page, 401, 503 …
		}
		_, err = fmt.Fprintf(w, "Hello %s", user.Name)
		return err
	}
	http.Handle("GET /me", auth.Handler(auth.Boundary(me)))
	http.Handle("POST /auth/refresh", auth.RefreshHandler())
	http.Handle("POST /logout", auth.LogoutHandler())
	http.Handle("GET /auth/rebearer.js", auth.ScriptHandler())
	// GET /login is yours, and ends with auth.SignIn(w, r, token).
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", nil))
}
