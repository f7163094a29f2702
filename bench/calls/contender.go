package main

import (
	"context"
	"net/http"
)

// contender is one way to make authenticated calls.
type contender struct {
	name string
	// renews says what it makes of a 401.
	renews renewal
	// anonymous calls carry no Authorization.
	anonymous bool
	// open returns its way to the site.
	open func(*site) *door
}

type renewal string

const (
	never    renewal = "the 401 is returned, and so is the next"
	nextTime renewal = "the 401 is returned, the next call works"
	replays  renewal = "the call is sent again and works"
)

// door is how a contender makes calls for one user. A func that is nil is
// something that it does not do.
type door struct {
	// page returns the context of an incoming request, in which the calls are
	// made.
	page func(context.Context) context.Context
	// get builds a GET, sends it and reads the answer into memory.
	get func(context.Context) error
	// accept is get with an Accept header.
	accept func(context.Context) error
	// fetch is accept that decodes the answer.
	fetch func(context.Context, *profile) error
	// create sends the profile by POST with an Accept header, and
	// reads the answer into memory.
	create func(context.Context, *profile) error
	// upload sends the bytes by POST.
	upload func(context.Context, []byte) error
	// trip sends a request that build has built, if it is an http.RoundTripper.
	trip  http.RoundTripper
	build builder
}

// contenders returns all of them.
func contenders() []contender {
	return []contender{
		raw, cheat, byHand,
		oauth2Static, oauth2Reuse,
		clientgoStatic, clientgoFile, clientgoSource,
		azcoreBearer, retryable,
		resty2Alone, resty2Hook, resty3Alone, resty3Hook,
		anybodys, anybodysOneCache, built, builtOneCache, restyClient, restyClientOneCache,
	}
}

// site returns a place for the contender, made by one of inMemory and overSockets.
func (c contender) site(where func(*user) *site) *site {
	if c.anonymous {
		return where(newStranger())
	}
	return where(newUser("ada"))
}
