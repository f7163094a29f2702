//go:build unix

package redisstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/redis/go-redis/v9"
)

// B47: Redis loses the last write, a renewal, as in a failover, and the holder
// dies with it. Whoever has heard of the renewal must not wait for ever.
func TestARenewalThatIsLostWithItsHolder(t *testing.T) {
	server, as := redisd.Start(t), &authority{}
	a, b := storeOn(t, server.Addr()), storeOn(t, server.Addr())
	leader := &tokencache.Coordinator{Refresher: as, Store: a, Realm: "test", Lease: lease, Timeout: 60 * time.Second}
	c := coordinatorWith(t, b, as)
	b.Load(t.Context(), "x")
	time.Sleep(100 * time.Millisecond) // it listens
	spent := as.signIn()
	release := make(chan struct{})
	as.on(func() { <-release }, nil)
	go leader.Refresh(context.Background(), spent)
	var keys []string
	eventually(t, "held", func() bool { keys = server.Keys(); return len(keys) == 1 })
	was := server.Must("GET", keys[0]).(string)
	eventually(t, "renewed", func() bool { return server.Must("GET", keys[0]).(string) != was })
	// From here on the leader's Store is cut off: it is dead. Its last renewal is lost.
	dead := make(chan struct{})
	go func() { defer close(dead); a.Client.(*redis.Client).Close() }()
	<-dead
	time.Sleep(50 * time.Millisecond)
	server.Must("SET", keys[0], was, "PX", "86400000")
	time.AfterFunc(100*time.Millisecond, func() { as.on(nil, nil) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	began := time.Now()
	_, err := c.Refresh(ctx, spent)
	t.Logf("%v after %v", err, time.Since(began))
	if time.Since(began) > 10*lease {
		t.Errorf("nobody takes over from a dead holder: %v", err)
	}
	server.Must("DEL", keys[0]) // so that the test ends
	close(release)
}

// B51: what no Store has written is an error, not absent, and no loop.
func TestAnEmptyStringIsNotAbsent(t *testing.T) {
	server := redisd.Start(t)
	s := storeOn(t, server.Addr())
	server.Must("SET", "rebearer:k", "")
	e, err := s.Load(t.Context(), "k")
	if err == nil {
		t.Errorf("Load of a foreign value: %q, %v", e.Version, err)
	}
	now, ok, err := s.Swap(t.Context(), "k", "", []byte("x"), time.Minute)
	if ok || err == nil {
		t.Errorf("Swap where a foreign value is: %q, %v, %v", now.Version, ok, err)
	}
}

// B48: nothing is presented as long as the replicas cannot be asked.
func TestAUserWhoMayNotWait(t *testing.T) {
	server, as := redisd.Start(t), &authority{}
	server.Must("ACL", "SETUSER", "default", "-wait")
	s := storeOn(t, server.Addr())
	s.WaitReplicas = 1
	c := coordinatorWith(t, s, as)
	spent := as.signIn()
	_, err := c.Refresh(t.Context(), spent)
	isTransient(t, err)
	as.saw(t, spent, 0)
}

// B48: a write that was made on another connection does not count before a
// replica has it.
func TestAWriteThatIsFoundWaitsForReplicas(t *testing.T) {
	t.Run("redis", func(t *testing.T) { foundWrite(t, "redis-server") })
	t.Run("valkey", func(t *testing.T) { foundWrite(t, "valkey-server") })
}

func foundWrite(t *testing.T, program string) {
	master := redisd.StartProgram(t, program)
	replica := redisd.StartProgram(t, program)
	host, port, _ := strings.Cut(master.Addr(), ":")
	replica.Must("REPLICAOF", host, port)
	eventually(t, "replica", func() bool {
		master.Must("SET", "warm", "1", "PX", "60000")
		v, _ := master.Do("WAIT", "1", "100")
		return v == int64(1)
	})
	p := redisd.StartProxy(t, master.Addr())
	s := storeOn(t, p.Addr(), func(o *redis.Options) { o.ReadTimeout = 300 * time.Millisecond; o.MaxRetries = 3 })
	s.WaitReplicas = 1
	s.Load(t.Context(), "k")
	time.Sleep(100 * time.Millisecond)
	replica.Pause() // it lags
	defer replica.Resume()
	p.Mute()
	time.AfterFunc(500*time.Millisecond, p.Unmute)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	began := time.Now()
	e, ok, err := s.Swap(ctx, "k", "", []byte("x"), time.Minute)
	t.Logf("%s: %q %v %v after %v", program, e.Version, ok, err, time.Since(began))
	if ok || err == nil {
		t.Errorf("%s: no replica has the write, and it counts", program)
	}
}

// Whoever may PUBLISH could send a ring of messages.
func TestARingOfMessagesIsNoLoop(t *testing.T) {
	server := redisd.Start(t)
	a := storeOn(t, server.Addr())
	a.Load(t.Context(), "k")
	time.Sleep(100 * time.Millisecond)
	server.Must("PUBLISH", "rebearer:changes", "AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBB")
	server.Must("PUBLISH", "rebearer:changes", "BBBBBBBBBBBBBBBBAAAAAAAAAAAAAAAA")
	time.Sleep(100 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); a.Wait(ctx, "k", "AAAAAAAAAAAAAAAA") }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		panic("Wait holds the mutex for ever")
	}
}
