// Package client is a resty client whose requests are signed, refreshed and
// replayed by a [transport.Transport], and whose failures are typed errors.
//
// There is one Client for the whole process. Which user a request is for
// follows from its context:
//
//	api := client.New("https://api.example.com", &transport.Transport{
//		Origins: []string{"https://api.example.com"},
//	})
//	...
//	ctx := tokencache.NewContext(r.Context(), tokencache.New(coordinator, shown))
//	_, err := api.R(ctx).SetResult(&user).Get("/users/me")
//
// A program that has another client already needs no part of this package: the
// same Transport serves any http.Client.
package client
