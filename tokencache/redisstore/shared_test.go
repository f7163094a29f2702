//go:build unix

package redisstore_test

import (
	"testing"

	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/redisstore"
	"github.com/rebearer/rebearer/tokencache/storetest"
)

// B45, B48: two processes on one Redis, behind a way that fails.
func TestTwoStoresOnOneRedis(t *testing.T) {
	for name, fail := range map[string]func(*redisd.Proxy) (begin, end func()){
		"connections are cut":     func(p *redisd.Proxy) (begin, end func()) { return p.Cut, p.Heal },
		"connections stand still": func(p *redisd.Proxy) (begin, end func()) { return p.Freeze, p.Thaw },
	} {
		t.Run(name, func(t *testing.T) {
			proxy := redisd.StartProxy(t, redisd.Start(t).Addr())
			cut, heal := fail(proxy)
			storetest.RunShared(t, storetest.Server{Cut: cut, Heal: heal, Open: func(t *testing.T) tokencache.Store {
				s, err := redisstore.Open("redis://" + proxy.Addr())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				return s
			}})
		})
	}
}
