// Command parked measures what a session costs whose successor waits for its
// browser: in the memory of the process, and in a Redis that it is given.
//
//	redis-server --port 0 …; go run ./parked -redis redis://127.0.0.1:6379
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/redisstore"
	"github.com/redis/go-redis/v9"
)

var (
	sessions = flag.Int("sessions", 100_000, "how many are parked")
	access   = flag.Int("access", 900, "bytes of an access token")
	refresh  = flag.Int("refresh", 64, "bytes of a refresh token")
	address  = flag.String("redis", "", "URL of a Redis that holds nothing else; if empty, memory only")
)

func main() {
	flag.Parse()
	log.SetFlags(0)
	fmt.Printf("%d sessions, access tokens of %d bytes, refresh tokens of %d\n", *sessions, *access, *refresh)
	memory := &tokencache.MemoryStore{MaxBytes: 1 << 40}
	before := heap()
	took := park(memory)
	fmt.Printf("MemoryStore: %d bytes a session, %v\n", (heap()-before)/int64(*sessions), took)
	runtime.KeepAlive(memory)
	if *address == "" {
		return
	}
	if err := onRedis(); err != nil {
		log.Print(err)
		os.Exit(1)
	}
}

func onRedis() error {
	o, err := redis.ParseURL(*address)
	if err != nil {
		return err
	}
	client := redis.NewClient(o)
	defer client.Close()
	before, err := used(client)
	if err != nil {
		return err
	}
	store := &redisstore.Store{Client: client}
	defer store.Close()
	took := park(store)
	after, err := used(client)
	if err != nil {
		return err
	}
	keys, err := client.DBSize(context.Background()).Result()
	fmt.Printf("Redis: %d bytes a session, %d keys, %v\n", (after-before)/int64(*sessions), keys, took)
	return err
}

// park refreshes every session once.
func park(store tokencache.Store) time.Duration {
	began := time.Now()
	c := &tokencache.Coordinator{Refresher: issuer{}, Store: store, Realm: "https://as.example.com bff"}
	var next atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for next.Add(1) <= int64(*sessions) {
				if _, err := c.Refresh(context.Background(), issue()); err != nil {
					log.Fatal(err)
				}
			}
		})
	}
	all.Wait()
	c.Wait(context.Background())
	return time.Since(began).Round(time.Millisecond)
}

type issuer struct{}

func (issuer) Refresh(context.Context, tokencache.Token) (tokencache.Token, error) {
	return issue(), nil
}

func issue() tokencache.Token {
	return tokencache.NewToken(tokencache.TokenFields{
		Access: text(*access), Refresh: text(*refresh), Expiry: time.Now().Add(time.Hour),
	})
}

func text(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(rand.Text())
	}
	return b.String()[:n]
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// used returns what Redis says it uses.
func used(client *redis.Client) (int64, error) {
	info, err := client.Info(context.Background(), "memory").Result()
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(info, "used_memory:")
	number, _, _ := strings.Cut(rest, "\r")
	return strconv.ParseInt(number, 10, 64)
}
