//go:build unix

package redisstore_test

import (
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/tokencache"
)

// storm has each replica make 200 calls with the token, and returns the one
// successor that all of them got.
func storm(t *testing.T, all []*replica, spent tokencache.Token, late time.Duration) (next tokencache.Token) {
	t.Helper()
	o := order{Access: spent.Access(), Refresh: spent.Refresh(), Calls: 200, At: time.Now().Add(30 * time.Millisecond), Late: late}
	for _, r := range all {
		r.order(o)
	}
	for i, r := range all {
		rep := r.report()
		if len(rep.Failed) > 0 || len(rep.Access) != 1 {
			t.Fatalf("replica %d: %d tokens, failed %v", i, len(rep.Access), rep.Failed)
		}
		for access, n := range rep.Access {
			got := tokencache.NewToken(tokencache.TokenFields{Access: access, Refresh: rep.Refresh})
			if n != o.Calls || i > 0 && !got.Same(next) {
				t.Fatalf("replica %d: %d calls have the same token as before: %v", i, n, got.Same(next))
			}
			next = got
		}
	}
	return next
}

// requests counts what was asked of Redis, without what a connection begins with.
func requests(p *redisd.Proxy) (n int, ops map[string]int) {
	ops = p.Counts()
	for _, set := range []string{"SUBSCRIBE", "HELLO", "CLIENT", "PING", "AUTH", "SELECT"} {
		delete(ops, set)
	}
	for _, k := range ops {
		n += k
	}
	return n, ops
}

// B45, B50, B51: 8 processes with 200 callers each, half of them late, 60 times.
func TestManyProcessesPresentOnce(t *testing.T) {
	server := redisd.Start(t)
	as := authtest.NewAS(authtest.ASConfig{Delay: 50 * time.Millisecond})
	t.Cleanup(as.Close)
	proxy := redisd.StartProxy(t, server.Addr())
	var all []*replica
	for range 8 {
		all = append(all, startReplica(t, "redis://"+proxy.Addr(), as.TokenURL()))
	}
	storm(t, all, as.SignIn("warm"), 100*time.Millisecond) // connections, the subscription and the script
	rounds := 60
	if testing.Short() {
		rounds = 5
	}
	var taken []int
	for kind, next := range map[string]func(round int, last tokencache.Token) tokencache.Token{
		"a new session each time":               func(i int, _ tokencache.Token) tokencache.Token { return as.SignIn(fmt.Sprint("user", i)) },
		"a session that is refreshed each time": func(_ int, last tokencache.Token) tokencache.Token { return last },
	} {
		last := as.SignIn("alice")
		for i := range rounds / 2 {
			as.ResetCounts()
			proxy.Reset()
			last = storm(t, all, next(i, last), 100*time.Millisecond)
			if c := as.Counts(); c.Presentations != 1 || c.Reuses != 0 {
				t.Fatalf("%s, round %d: %+v", kind, i, c)
			}
			n, ops := requests(proxy)
			if n > 16 {
				t.Logf("%s, round %d: %d requests, %v", kind, i, n, ops)
			}
			taken = append(taken, n)
		}
	}
	// Where the machine stands still for a quarter of a second, replicas look
	// instead of waiting to be told.
	slices.Sort(taken)
	if n := taken[len(taken)*9/10]; n > 16 {
		t.Errorf("more than 16 requests to Redis in a tenth of the rounds: %d", n)
	}
	t.Logf("%d rounds, %d requests to Redis in half of them, at most %d", rounds, taken[len(taken)/2], taken[len(taken)-1])
	if keys := server.WithoutTTL(); len(keys) > 0 {
		t.Errorf("keys that live for ever: %q", keys)
	}
}

// B45: also if the server takes longer than three leases.
func TestManyProcessesWaitForASlowServer(t *testing.T) {
	server := redisd.Start(t)
	as := authtest.NewAS(authtest.ASConfig{Delay: 3*lease + lease/2})
	t.Cleanup(as.Close)
	var all []*replica
	for range 8 {
		all = append(all, startReplica(t, "redis://"+server.Addr(), as.TokenURL()))
	}
	storm(t, all, as.SignIn("alice"), 4*lease)
	if c := as.Counts(); c.Presentations != 1 || c.Reuses != 0 {
		t.Errorf("%+v", c)
	}
}

// B47: the leader is killed at three points of its exchange.
func TestALeaderThatIsKilled(t *testing.T) {
	for name, row := range map[string]struct {
		halt          string
		rotation      authtest.Rotation
		want          string // the reason of the failure, "" for success
		presentations int
	}{
		"before it presents":                       {"before", authtest.Strict, "", 1},
		"while a strict server has its token":      {"", authtest.Strict, "ambiguous", 2},
		"while a server with grace has its token":  {"", authtest.Grace, "", 2},
		"before it stores, to a strict server":     {"after", authtest.Strict, "ambiguous", 2},
		"before it stores, to a server with grace": {"after", authtest.Grace, "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redisd.Start(t)
			as := authtest.NewAS(authtest.ASConfig{Rotation: row.rotation})
			t.Cleanup(as.Close)
			a, b := startReplica(t, "redis://"+server.Addr(), as.TokenURL()), startReplica(t, "redis://"+server.Addr(), as.TokenURL())
			spent := as.SignIn("alice")
			o := order{Access: spent.Access(), Refresh: spent.Refresh(), Calls: 1, Halt: row.halt}
			if row.halt == "" {
				arrived := make(chan struct{})
				as.FailNext(1, authtest.After(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
					close(arrived)
					<-r.Context().Done()
				}))
				a.order(o)
				<-arrived
			} else {
				a.order(o)
				if !a.report().Halted {
					t.Fatal("it does not stand still")
				}
			}
			o.Halt, o.Calls = "", 50
			began := time.Now()
			b.order(o)
			time.Sleep(lease / 2) // it sees the leader live
			a.signal(syscall.SIGKILL)
			rep := b.report()
			took := time.Since(began)
			if failed := rep.Failed[row.want]; row.want != "" && failed != o.Calls || row.want == "" && len(rep.Failed) > 0 {
				t.Errorf("got %d tokens, failed: %v", len(rep.Access), rep.Failed)
			}
			// A lease after the last renewal that was seen, and for a refusal
			// until the dead one must have given up.
			if took < lease || took > 3*lease && row.want == "" || took > 20*lease {
				t.Errorf("took %v", took)
			}
			if c := as.Counts(); c.Presentations != row.presentations {
				t.Errorf("%+v", c)
			}
			t.Logf("told after %v", took.Round(time.Millisecond))
		})
	}
}

// B47: the leader stands still for longer than a lease, with its answer on the
// way, and goes on.
func TestALeaderThatIsStopped(t *testing.T) {
	for name, row := range map[string]struct {
		rotation authtest.Rotation
		want     string
	}{
		"a strict server":     {authtest.Strict, "ambiguous"},
		"a server with grace": {authtest.Grace, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redisd.Start(t)
			as := authtest.NewAS(authtest.ASConfig{Rotation: row.rotation})
			t.Cleanup(as.Close)
			a, b := startReplica(t, "redis://"+server.Addr(), as.TokenURL()), startReplica(t, "redis://"+server.Addr(), as.TokenURL())
			spent := as.SignIn("alice")
			o := order{Access: spent.Access(), Refresh: spent.Refresh(), Calls: 20}
			gate := authtest.NewGate()
			as.FailNext(1, authtest.After(gate.Hold))
			a.order(o)
			<-gate.Arrived()
			a.stop()
			gate.Open()
			b.order(o)
			time.Sleep(2 * lease)
			if row.want != "" {
				// The other has been refused by now, and waits for whether this
				// one has succeeded: it has.
				a.signal(syscall.SIGCONT)
			}
			rb := b.report()
			a.signal(syscall.SIGCONT)
			ra := a.report()
			for who, rep := range map[string]report{"the first": ra, "the second": rb} {
				if len(rep.Failed) > 0 || len(rep.Access) != 1 {
					t.Errorf("%s has %d tokens, failed: %v", who, len(rep.Access), rep.Failed)
				}
			}
			if ra.Refresh != rb.Refresh {
				t.Error("two successors are in use")
			}
			if c := as.Counts(); c.Presentations != 2 {
				t.Errorf("%+v", c)
			}
		})
	}
}
