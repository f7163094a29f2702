//go:build unix

package redisstore_test

import (
	"context"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/redisstore"
	"github.com/rebearer/rebearer/tokencache/storetest"
	"github.com/redis/go-redis/v9"
)

// B45, B51
func TestStore(t *testing.T) {
	for _, program := range []string{"redis-server", "valkey-server"} {
		t.Run(program, func(t *testing.T) {
			server := redisd.StartProgram(t, program)
			one := storeOn(t, server.Addr())
			storetest.Run(t, func(*testing.T) tokencache.Store { return one })
		})
	}
}

// B51
func TestStoreOnACluster(t *testing.T) {
	cluster := redisd.StartCluster(t, 3, 0)
	one := clusterStore(t, cluster)
	storetest.Run(t, func(*testing.T) tokencache.Store { return one })
	for _, n := range cluster.Nodes {
		if keys := n.WithoutTTL(); len(keys) > 0 {
			t.Errorf("keys that live for ever: %q", keys)
		}
	}
}

func clusterStore(t testing.TB, c *redisd.Cluster) *redisstore.Store {
	t.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs()})
	s := &redisstore.Store{Client: client}
	t.Cleanup(func() { s.Close(); client.Close() })
	return s
}

// ear listens, and counts who connects.
type ear struct {
	net.Listener
	heard atomic.Int32
}

func newEar(t *testing.T) *ear {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &ear{Listener: l}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.heard.Add(1)
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return e
}

func (e *ear) addr() string { return e.Addr().String() }

// fails returns the error of each method of a Store, or "" for none.
func fails(t *testing.T, s *redisstore.Store) (said []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	_, err := s.Load(ctx, "k")
	said = append(said, text(err))
	_, _, err = s.Swap(ctx, "k", "", []byte("v"), time.Minute)
	said = append(said, text(err))
	_, _, err = s.Swap(ctx, "k", "some version....", nil, 0)
	said = append(said, text(err))
	_, err = s.Wait(ctx, "k", "")
	return append(said, text(err))
}

// B48: what is set up wrongly says so, and says nothing to Redis.
func TestAClientThatCannotBeUsedIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		client func(addr string) redis.UniversalClient
		want   string
	}{
		"none": {func(string) redis.UniversalClient { return nil }, "no Client"},
		"a Ring": {func(addr string) redis.UniversalClient {
			return redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": addr}, HeartbeatFrequency: time.Hour})
		}, "not a *redis.Ring"},
		"ReadOnly": {func(addr string) redis.UniversalClient {
			return redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, ReadOnly: true})
		}, "replicas"},
		"RouteRandomly": {func(addr string) redis.UniversalClient {
			return redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, RouteRandomly: true})
		}, "replicas"},
		"RouteByLatency": {func(addr string) redis.UniversalClient {
			return redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, RouteByLatency: true})
		}, "replicas"},
		"Sentinel, reading from replicas": {func(addr string) redis.UniversalClient {
			return redis.NewFailoverClusterClient(&redis.FailoverOptions{MasterName: "m", SentinelAddrs: []string{addr}, RouteRandomly: true})
		}, "replicas"},
	} {
		t.Run(name, func(t *testing.T) {
			ear := newEar(t)
			client := row.client(ear.addr())
			if client != nil {
				t.Cleanup(func() { client.Close() })
			}
			s := &redisstore.Store{Client: client}
			for i, said := range fails(t, s) {
				if !strings.HasPrefix(said, "redisstore: ") || !strings.Contains(said, row.want) {
					t.Errorf("operation %d says %q", i, said)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if n := ear.heard.Load(); n != 0 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// A client that a failed constructor has returned, say.
func TestAClientThatIsANilOfItsTypeIsRefused(t *testing.T) {
	for name, client := range map[string]redis.UniversalClient{
		"*redis.Client": (*redis.Client)(nil), "*redis.ClusterClient": (*redis.ClusterClient)(nil),
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("it panics: %v", p)
				}
			}()
			for i, said := range fails(t, &redisstore.Store{Client: client}) {
				if !strings.HasPrefix(said, "redisstore: ") {
					t.Errorf("operation %d says %q", i, said)
				}
			}
		})
	}
}

// B51
func TestKeysAndChannelHaveThePrefix(t *testing.T) {
	for prefix, want := range map[string]string{"": "rebearer:", "mine/": "mine/"} {
		t.Run(want, func(t *testing.T) {
			server := redisd.Start(t)
			s := storeOn(t, server.Addr())
			s.Prefix = prefix
			if _, ok, err := s.Swap(t.Context(), "key", "", []byte("v"), time.Minute); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if keys := server.Keys(); len(keys) != 1 || keys[0] != want+"key" {
				t.Errorf("keys %q", keys)
			}
			eventually(t, "it listens", func() bool { return len(server.Must("PUBSUB", "CHANNELS").([]any)) > 0 })
			if channels := server.Must("PUBSUB", "CHANNELS").([]any); len(channels) != 1 || channels[0] != want+"changes" {
				t.Errorf("channels %q", channels)
			}
			if keys := server.WithoutTTL(); len(keys) > 0 {
				t.Errorf("keys that live for ever: %q", keys)
			}
		})
	}
}

// foreign returns the stacks of goroutines of redisstore and of the client.
func foreign() (left []string) {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for _, stack := range strings.Split(string(buf), "\n\n")[1:] {
		if strings.Contains(stack, "go-redis") || strings.Contains(stack, "/redisstore.") {
			left = append(left, stack)
		}
	}
	return left
}

func noneIsLeft(t *testing.T) {
	t.Helper()
	var left []string
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if left = foreign(); len(left) == 0 {
			return
		}
	}
	t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
}

// A Store that nobody has used is only a value.
func TestNothingIsStartedBeforeTheFirstUse(t *testing.T) {
	ear := newEar(t)
	client := redis.NewClient(&redis.Options{Addr: ear.addr()})
	opened, err := redisstore.Open("redis://" + ear.addr())
	if err != nil {
		t.Fatal(err)
	}
	was := len(foreign()) // each client has one
	s := &redisstore.Store{Client: client}
	_ = tokencache.New(&tokencache.Coordinator{Store: s, Realm: "r", Refresher: &authority{}}, tokencache.Token{})
	time.Sleep(50 * time.Millisecond) // what should not come cannot be waited for
	if n := ear.heard.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
	if is := foreign(); len(is) > was {
		t.Errorf("%d goroutines instead of %d:\n%s", len(is), was, strings.Join(is, "\n\n"))
	}
	for _, s := range []*redisstore.Store{s, opened} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for i, said := range fails(t, s) {
			if said != "redisstore: the Store is closed" {
				t.Errorf("operation %d of a Store that was closed before its first use says %q", i, said)
			}
		}
	}
	if n := ear.heard.Load(); n != 0 {
		t.Errorf("%d connections after Close", n)
	}
	client.Close()
	noneIsLeft(t)
}

// B29
func TestCloseLeavesNothing(t *testing.T) {
	server := redisd.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	a, b := &redisstore.Store{Client: client}, storeOn(t, server.Addr())
	one, _, err := a.Swap(t.Context(), "key", "", []byte("one"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan tokencache.Entry)
	go func() {
		e, err := a.Wait(t.Context(), "key", one.Version)
		if err != nil {
			t.Error(err)
		}
		told <- e
	}()
	listening := func(n string) func() bool {
		return func() bool {
			return strings.Count(server.Must("CLIENT", "LIST", "TYPE", "PUBSUB").(string), "\n") == len(n)
		}
	}
	eventually(t, "it listens", listening("1"))
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "nobody listens", listening(""))
	two, ok, err := b.Swap(t.Context(), "key", one.Version, []byte("two"), time.Minute)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	select { // "whoever still waits is served by reading"
	case e := <-told:
		if e.Version != two.Version || string(e.Value) != "two" {
			t.Errorf("who waited was told %q", e.Value)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("who waited is told nothing")
	}
	if e, err := a.Load(t.Context(), "key"); err != nil || e.Version != two.Version {
		t.Errorf("%q, %v", e.Value, err)
	}
	b.Close()
	client.Close()
	b.Client.Close()
	noneIsLeft(t)
}
