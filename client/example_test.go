package client_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

func Example() {
	as := authtest.NewAS(authtest.ASConfig{}) // in real life, yours
	defer as.Close()
	server := as.NewAPI()
	defer server.Close()

	// Once for the process.
	coordinator := &tokencache.Coordinator{
		Refresher: &transport.TokenEndpoint{URL: as.TokenURL(), ClientID: "bff"},
	}
	api := client.New(server.URL, &transport.Transport{Origins: []string{server.URL}})

	// For each incoming request, with what its cookies hold.
	shown := as.SignIn("ada")
	ctx := tokencache.NewContext(context.Background(), tokencache.New(coordinator, shown))

	as.RevokeAccess() // the access token has ended
	var me struct{ User string }
	_, err := api.R(ctx).SetResult(&me).Get("/users/me")
	fmt.Println(me.User, err)

	_, changed := tokencache.FromContext(ctx).Changed()
	fmt.Println("the browser needs new cookies:", changed)
	// Output:
	// ada <nil>
	// the browser needs new cookies: true
}

func ExampleStatusError() {
	as := authtest.NewAS(authtest.ASConfig{})
	defer as.Close()
	server := as.NewAPI()
	defer server.Close()
	coordinator := &tokencache.Coordinator{
		Refresher: &transport.TokenEndpoint{URL: as.TokenURL(), ClientID: "bff"},
	}
	api := client.New(server.URL, &transport.Transport{Origins: []string{server.URL}})

	shown := as.SignIn("ada")
	as.RevokeAccess()
	as.EndSession(shown.Refresh()) // an administrator has signed ada out

	ctx := tokencache.NewContext(context.Background(), tokencache.New(coordinator, shown))
	_, err := api.R(ctx).Get("/users/me")

	var status *client.StatusError
	switch {
	case errors.Is(err, tokencache.ErrLoginRequired):
		fmt.Println("the session is over: show the login page")
	case errors.As(err, &status):
		fmt.Println("the API answered", status.Status)
	}
	// Output:
	// the session is over: show the login page
}
