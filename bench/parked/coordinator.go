package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
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

// coordinators measures sessions as a Coordinator parks them.
func coordinators() error {
	memory := &tokencache.MemoryStore{MaxBytes: plenty}
	before, _ := used()
	took := park(memory, *parks)
	after, _ := used()
	fmt.Printf("A Coordinator parks %d: %d bytes a session in a MemoryStore, %v\n", *parks, (after-before)/int64(*parks), took)
	runtime.KeepAlive(memory)
	if *address == "" {
		return nil
	}
	return onRedis()
}

func onRedis() error {
	o, err := redis.ParseURL(*address)
	if err != nil {
		return err
	}
	client := redis.NewClient(o)
	defer client.Close()
	before, err := usedByRedis(client)
	if err != nil {
		return err
	}
	store := &redisstore.Store{Client: client}
	defer store.Close()
	took := park(store, *parks)
	after, err := usedByRedis(client)
	if err != nil {
		return err
	}
	keys, err := client.DBSize(context.Background()).Result()
	fmt.Printf("Redis: %d bytes a session, %d keys, %v\n", (after-before)/int64(*parks), keys, took)
	return err
}

// park refreshes n sessions once.
func park(store tokencache.Store, n int) time.Duration {
	began := time.Now()
	c := &tokencache.Coordinator{Refresher: issuer{}, Store: store, Realm: "https://as.example.com bff"}
	var next atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for next.Add(1) <= int64(n) {
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

// parkedValue returns what a Coordinator stores for a successor.
func parkedValue() ([]byte, error) {
	s := &spy{Store: &tokencache.MemoryStore{}}
	park(s, 1)
	if s.value == nil {
		return nil, errors.New("nothing was parked")
	}
	return s.value, nil
}

// spy keeps the largest value that passes, which is the successor's.
type spy struct {
	tokencache.Store
	mu    sync.Mutex
	value []byte
}

func (s *spy) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	s.mu.Lock()
	if len(value) > len(s.value) {
		s.value = value
	}
	s.mu.Unlock()
	return s.Store.Swap(ctx, key, old, value, ttl)
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

// text looks as a token does: base64url, as random as it can be.
func text(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)[:n]
}

// usedByRedis returns what Redis says it uses.
func usedByRedis(client *redis.Client) (int64, error) {
	info, err := client.Info(context.Background(), "memory").Result()
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(info, "used_memory:")
	number, _, _ := strings.Cut(rest, "\r")
	return strconv.ParseInt(number, 10, 64)
}
