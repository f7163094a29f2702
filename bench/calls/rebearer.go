package main

import (
	"context"
	"net/http"
	"time"

	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// All users share one Transport and one Coordinator. Whose token a call gets
// follows from its context, which gets a Cache for each page that the browser
// asks for. A page takes ten calls, unless the name says that one Cache serves
// all of them.

var anybodys = contender{name: "rebearer, anybody's request", renews: replays, open: func(s *site) *door {
	return overRebearer(s, http.NewRequestWithContext)
}}

var anybodysOneCache = contender{name: "rebearer, anybody's request, one Cache", renews: replays, open: func(s *site) *door {
	return oneCache(overRebearer(s, http.NewRequestWithContext))
}}

var built = contender{name: "rebearer, NewRequest", renews: replays, open: func(s *site) *door {
	return overRebearer(s, transport.NewRequest)
}}

var builtOneCache = contender{name: "rebearer, NewRequest, one Cache", renews: replays, open: func(s *site) *door {
	return oneCache(overRebearer(s, transport.NewRequest))
}}

var restyClient = contender{name: "rebearer, client", renews: replays, open: func(s *site) *door {
	c := client.New(s.url, newTransport(s))
	c.Resty().SetDisableWarn(true)
	d := overResty2(c.R, asReader)
	d.page = pages(s)
	return d
}}

var restyClientOneCache = contender{name: "rebearer, client, one Cache", renews: replays, open: func(s *site) *door {
	return oneCache(restyClient.open(s))
}}

func newTransport(s *site) *transport.Transport {
	return &transport.Transport{Base: s.base, Origins: []string{s.url}}
}

func overRebearer(s *site, build builder) *door {
	d := overHTTP(s.url, newTransport(s), build)
	d.page = pages(s)
	return d
}

// pages returns what an incoming request does: a new Cache of the tokens that
// its cookies show.
func pages(s *site) func(context.Context) context.Context {
	coordinator := &tokencache.Coordinator{Refresher: refresher{s.user}}
	now := time.Now()
	shown := tokencache.NewToken(tokencache.TokenFields{
		Access: s.user.first, Refresh: "refresh.1", Issued: now, Expiry: now.Add(life),
	})
	return func(ctx context.Context) context.Context {
		return tokencache.NewContext(ctx, tokencache.New(coordinator, shown))
	}
}

// oneCache has one page made only.
func oneCache(d *door) *door {
	ctx := d.page(incoming())
	d.page = func(context.Context) context.Context { return ctx }
	return d
}

type refresher struct{ user *user }

func (r refresher) Refresh(ctx context.Context, _ tokencache.Token) (tokencache.Token, error) {
	access, err := r.user.exchange(ctx)
	now := time.Now()
	return tokencache.NewToken(tokencache.TokenFields{
		Access: access, Refresh: "refresh.2", Issued: now, Expiry: now.Add(life),
	}), err
}
