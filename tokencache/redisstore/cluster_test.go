//go:build unix

package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/redisstore"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// chain is a session that is refreshed again and again, by either replica.
type chain struct {
	at    tokencache.Token
	steps int
}

// refreshAll has two replicas refresh all sessions, one step after the other,
// both at the same time, until stop is closed. What fails must be transient, or
// the session is lost, which is left to [lost].
func refreshAll(t *testing.T, replicas [2]*tokencache.Coordinator, chains []*chain, stop <-chan struct{}) (done *sync.WaitGroup, failed *atomic.Int32) {
	done, failed = &sync.WaitGroup{}, &atomic.Int32{}
	for i, s := range chains {
		done.Go(func() {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			for {
				var got [2]tokencache.Token
				var errs [2]error
				var both sync.WaitGroup
				for j, c := range replicas {
					both.Go(func() { got[j], errs[j] = c.Refresh(t.Context(), s.at) })
				}
				both.Wait()
				for j, err := range errs {
					switch {
					case errors.Is(err, tokencache.ErrLoginRequired):
						return
					case err != nil:
						failed.Add(1)
						isTransient(t, err)
					default:
						s.at = got[j]
					}
				}
				s.steps++
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	return done, failed
}

// lost counts the sessions that cannot be refreshed any more, by either.
func lost(t *testing.T, c *tokencache.Coordinator, chains []*chain) (n int) {
	var all sync.WaitGroup
	var count atomic.Int32
	for i, s := range chains {
		all.Go(func() {
			var err error
			for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
				if _, err = c.Refresh(t.Context(), s.at); err == nil {
					return
				}
				if errors.Is(err, tokencache.ErrLoginRequired) {
					break
				}
			}
			count.Add(1)
			t.Logf("session %d is lost: %v", i, err)
		})
	}
	all.Wait()
	return int(count.Load())
}

// quiet is for what [TestWaitReplicasHasNoRace] finds not to fail all others.
var quiet = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

// failover has 50 sessions refreshed while a master dies, and returns how many
// are lost, and how many tokens were presented twice.
func failover(t *testing.T, waitReplicas int, lease time.Duration, harm func(*redisd.Cluster)) (gone, reuses int) {
	t.Helper()
	cluster, as := redisd.StartCluster(t, 3, 1), &authority{}
	var replicas [2]*tokencache.Coordinator
	for i := range replicas {
		client := redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: cluster.Addrs(), ClusterStateReloadInterval: time.Second,
			MaintNotificationsConfig: quiet,
		})
		s := &redisstore.Store{Client: client, WaitReplicas: waitReplicas}
		t.Cleanup(func() { s.Close(); client.Close() })
		replicas[i] = coordinatorWith(t, s, as)
		replicas[i].Lease = lease
	}
	chains := make([]*chain, 50)
	for i := range chains {
		chains[i] = &chain{at: as.signIn()}
	}
	stop := make(chan struct{})
	done, failed := refreshAll(t, replicas, chains, stop)
	time.Sleep(time.Second)
	began := time.Now()
	harm(cluster)
	away := time.Since(began)
	time.Sleep(time.Second)
	close(stop)
	done.Wait()
	steps := 0
	for _, s := range chains {
		steps += s.steps
	}
	gone = lost(t, replicas[1], chains)
	t.Logf("%d of %d sessions lost, after %d steps; %d were transient failures; failed over within %v",
		gone, len(chains), steps, failed.Load(), away.Round(time.Millisecond))
	return gone, as.reuses()
}

// patientLease is longer than a failover takes: see
// [TestALeaderIsNotDeadBecauseRedisIsFull].
const patientLease = 10 * time.Second

// B48
func TestAFailoverLosesNoSession(t *testing.T) {
	t.Parallel()
	gone, reuses := failover(t, 1, patientLease, dies)
	if gone != 0 || reuses != 0 {
		t.Errorf("%d sessions are lost, %d tokens were presented twice", gone, reuses)
	}
}

// B48: without WaitReplicas, what the master has acknowledged may be lost. The
// number is reported.
func TestAFailoverWithoutWaitReplicas(t *testing.T) {
	t.Parallel()
	gone, reuses := failover(t, 0, 0, dies)
	t.Logf("without WaitReplicas %d sessions are lost, %d tokens were presented twice", gone, reuses)
}

// dies has a master die, and come back as a replica of its replica.
func dies(c *redisd.Cluster) {
	master := c.MasterOf("a key")
	c.Failover(master)
	master.Restart()
}

// lags has a master die that has not reached its replica for a while, though it
// served its clients.
func lags(c *redisd.Cluster) {
	cutReplicas(c.MasterOf("a key"))
	time.Sleep(500 * time.Millisecond)
	dies(c)
}

func cutReplicas(master *redisd.Server) {
	master.Must("ACL", "SETUSER", "default", "-psync", "-sync")
	master.Must("CLIENT", "KILL", "TYPE", "replica")
}

// B48: the same where replication lags behind, which is what WaitReplicas is for.
func TestAFailoverToAReplicaThatLags(t *testing.T) {
	t.Parallel()
	atOnce(t, map[string]int{"with WaitReplicas": 1, "without": 0}, func(t *testing.T, wait int) {
		gone, reuses := failover(t, wait, patientLease, lags)
		if wait > 0 && (gone != 0 || reuses != 0) {
			t.Errorf("%d sessions are lost, %d tokens were presented twice", gone, reuses)
		}
		if wait == 0 {
			t.Logf("%d sessions are lost, %d tokens were presented twice", gone, reuses)
		}
	})
}

// B48: a client with no options of its own finds the new master.
func TestAFailoverIsNoticedSoon(t *testing.T) {
	t.Parallel()
	cluster := redisd.StartCluster(t, 3, 1)
	s := clusterStore(t, cluster)
	if _, err := s.Load(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	cluster.Failover(cluster.MasterOf("rebearer:key"))
	began := time.Now()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), lease)
		_, err := s.Load(ctx, "key")
		cancel()
		if err == nil {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("after %v: %v", time.Since(began).Round(time.Second), err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("noticed after %v", time.Since(began))
}

// B48: a successor counts when WaitReplicas have it, and not before. Else the
// next failover brings back the note that its token is being presented.
func TestASuccessorWaitsForReplicas(t *testing.T) {
	t.Parallel()
	master, as := redisd.Start(t, "--repl-diskless-sync-delay", "0"), &authority{}
	replica := redisd.Start(t, "--replicaof", strings.Replace(master.Addr(), ":", " ", 1))
	eventually(t, "it replicates", func() bool {
		return strings.Contains(fmt.Sprint(replica.Must("INFO", "replication")), "master_link_status:up")
	})
	s := storeOn(t, master.Addr(), func(o *redis.Options) { o.MaintNotificationsConfig = quiet })
	s.WaitReplicas = 1
	c := coordinatorWith(t, s, as)
	livesOn(t, c, as, as.signIn())
	spent := as.signIn()
	as.on(nil, sync.OnceFunc(func() {
		cutReplicas(master)
		// Not +sync: a replica that falls back to it confirms nothing for ever.
		time.AfterFunc(3*lease, func() { master.Must("ACL", "SETUSER", "default", "+psync") })
	}))
	began := time.Now()
	got, err := c.Refresh(t.Context(), spent)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("told after %v", time.Since(began).Round(time.Millisecond))
	for _, k := range master.Keys() {
		if strings.HasSuffix(k, "birth") {
			continue // that is written aside
		}
		if m, r := master.Must("GET", k), replica.Must("GET", k); m != r {
			t.Errorf("the replica has not got what is under %q", k)
		}
	}
	eventually(t, "the replica is back", func() bool {
		return strings.Contains(fmt.Sprint(replica.Must("INFO", "replication")), "master_link_status:up")
	})
	next, _ := recovers(t, c, got) // the replica may be slow to confirm, at first
	livesOn(t, c, as, next)
}

// With the options of a client that nobody has told anything, and -race.
func TestWaitReplicasHasNoRace(t *testing.T) {
	master := redisd.Start(t, "--repl-diskless-sync-delay", "0")
	replica := redisd.Start(t, "--replicaof", strings.Replace(master.Addr(), ":", " ", 1))
	eventually(t, "it replicates", func() bool {
		return strings.Contains(fmt.Sprint(replica.Must("INFO", "replication")), "master_link_status:up")
	})
	for i := range 10 {
		s := storeOn(t, master.Addr())
		s.WaitReplicas = 1
		var all sync.WaitGroup
		for j := range 8 {
			all.Go(func() {
				if _, ok, err := s.Swap(t.Context(), fmt.Sprint(i, " ", j), "", []byte("v"), time.Minute); err != nil || !ok {
					t.Error(ok, err)
				}
			})
		}
		all.Wait()
	}
}
