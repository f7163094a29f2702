package main

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// user is whom the calls are for, as the API and the authorization server know
// her.
type user struct {
	first     string                 // the access token that she signed in with
	good      atomic.Pointer[string] // the Authorization value that the API wants; "" is none
	exchanges atomic.Int64
}

// tokenLength is that of an access token. If it is a JWT with a few claims, 900
// bytes. net/http looks at each of them, each time.
var tokenLength = 900

func newUser(name string) *user {
	u := &user{first: tokenOf(name + ".1.")}
	u.accept(u.first)
	return u
}

// newStranger returns one whose calls must carry no Authorization.
func newStranger() *user {
	u := &user{}
	u.good.Store(new(string))
	return u
}

// tokenOf returns a token of the usual length.
func tokenOf(prefix string) string {
	return prefix + strings.Repeat("x", tokenLength-len(prefix))
}

func (u *user) accept(access string) {
	value := "Bearer " + access
	u.good.Store(&value)
}

// end ends the access token. The API accepts only the next one from now on.
func (u *user) end() { u.accept(strings.Replace(u.first, ".1.", ".2.", 1)) }

// exchange returns the access token that is accepted, as a token endpoint does
// in exchange for a refresh token.
func (u *user) exchange(context.Context) (string, error) {
	u.exchanges.Add(1)
	return strings.TrimPrefix(*u.good.Load(), "Bearer "), nil
}

// accepts is the API's check of a request.
func (u *user) accepts(h http.Header) bool {
	good := *u.good.Load()
	values := h["Authorization"]
	if good == "" {
		return len(values) == 0
	}
	return len(values) == 1 && values[0] == good
}

// life is that of an access token.
const life = time.Hour
