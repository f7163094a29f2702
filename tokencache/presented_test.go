package tokencache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// presenters counts the Caches that say they presented.
func presenters(caches ...*tokencache.Cache) (n int) {
	for _, c := range caches {
		if c.Presented() {
			n++
		}
	}
	return n
}

// T-D2: of all who wait for one exchange, one has led it.
func TestOneOfManyHasPresented(t *testing.T) {
	for name, refresh := range map[string]func(*tokencache.Cache, context.Context, tokencache.Token) (tokencache.Token, error){
		"by Refresh": (*tokencache.Cache).Refresh,
		"by Fresh": func(c *tokencache.Cache, ctx context.Context, _ tokencache.Token) (tokencache.Token, error) {
			return c.Fresh(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{takes: 30 * time.Millisecond}
				c := &tokencache.Coordinator{Refresher: server}
				spent, caches := ended(alice), make([]*tokencache.Cache, 20)
				together(len(caches), func(i int) {
					caches[i] = tokencache.New(c, spent)
					time.Sleep(time.Duration(i) * 2 * time.Millisecond) // some join, some come later
					got, err := refresh(caches[i], t.Context(), spent)
					is(t, "alice-access-1", got, err)
				})
				if n := presenters(caches...); n != 1 {
					t.Errorf("%d of %d say they presented", n, len(caches))
				}
				server.saw(t, 1)
			})
		})
	}
}

func TestWhoHasNotPresented(t *testing.T) {
	for name, try := range map[string]func(t *testing.T, c *tokencache.Coordinator, server *as) []*tokencache.Cache{
		"nobody": func(*testing.T, *tokencache.Coordinator, *as) []*tokencache.Cache {
			return []*tokencache.Cache{nil}
		},
		"who only holds what was shown": func(_ *testing.T, c *tokencache.Coordinator, _ *as) []*tokencache.Cache {
			return []*tokencache.Cache{tokencache.New(c, alice)}
		},
		"who found a successor": func(t *testing.T, c *tokencache.Coordinator, _ *as) []*tokencache.Cache {
			grow(t, c, 1)
			late := tokencache.New(c, alice)
			late.Refresh(t.Context(), alice)
			return []*tokencache.Cache{late}
		},
		"whose presentation failed": func(t *testing.T, c *tokencache.Coordinator, server *as) []*tokencache.Cache {
			server.next(fails(unavailable()))
			cache := tokencache.New(c, alice)
			cache.Refresh(t.Context(), alice)
			return []*tokencache.Cache{cache}
		},
		"who left before the end, and who stayed": func(t *testing.T, c *tokencache.Coordinator, server *as) []*tokencache.Cache {
			server.next(after(time.Second, (*as).exchange))
			left, stayed := tokencache.New(c, alice), tokencache.New(c, alice)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			together(2, func(i int) {
				if i == 0 {
					left.Refresh(ctx, alice)
					return
				}
				time.Sleep(time.Microsecond)
				got, err := stayed.Refresh(t.Context(), alice)
				is(t, "alice-access-1", got, err)
			})
			return []*tokencache.Cache{left, stayed}
		},
		"who renews ahead": func(t *testing.T, c *tokencache.Coordinator, server *as) []*tokencache.Cache {
			now := lasting(alice, time.Hour)
			time.Sleep(time.Hour - time.Second)
			cache := tokencache.New(c, now)
			cache.Fresh(t.Context())
			c.Wait(t.Context())
			server.saw(t, 1)
			return []*tokencache.Cache{cache}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				c := &tokencache.Coordinator{Refresher: server}
				if n := presenters(try(t, c, server)...); n != 0 {
					t.Errorf("%d say they presented", n)
				}
			})
		})
	}
}

// B17, B34: the exchange of another's token failed, and what it began with
// serves this one. That was found and not issued: if the API rejects it, it may
// just have ended.
func TestWhatAFailureBeganWithWasNotIssued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{rotation: constant, takes: time.Second, lives: time.Hour}
		c := &tokencache.Coordinator{Refresher: server, Cooldown: time.Second}
		one := func(access string) tokencache.Token {
			return tokencache.NewToken(tokencache.TokenFields{Access: access, Refresh: "alice-refresh"})
		}
		c.Refresh(t.Context(), one("old"))
		server.next(fails(unavailable()))
		behind := tokencache.New(c, one("old"))
		together(2, func(i int) {
			if i == 0 {
				c.Refresh(t.Context(), one("alice-access-1"))
				return
			}
			time.Sleep(time.Millisecond)
			got, err := behind.Refresh(t.Context(), one("old"))
			is(t, "alice-access-1", got, err)
		})
		if behind.Presented() {
			t.Error("it says that it presented")
		}
		time.Sleep(900 * time.Millisecond)
		behind.Rejected(behind.Token())
		time.Sleep(100 * time.Millisecond) // the cooldown of the failure is over
		got, err := behind.Refresh(t.Context(), behind.Token())
		is(t, "alice-access-2", got, err)
	})
}
