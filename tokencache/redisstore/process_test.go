//go:build unix

package redisstore_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/redisstore"
	"github.com/rebearer/rebearer/transport"
)

// order is what a replica is told to do: to make so many calls with a spent
// token, half of them late.
type order struct {
	Access, Refresh string
	Calls           int
	At              time.Time     // when the first half begins
	Late            time.Duration // after which the second half begins
	Halt            string        // where to stand still for ever, see halting
}

// report is what came of it.
type report struct {
	Halted  bool           // on the way to the end
	Access  map[string]int // the access tokens that were got, and how often
	Refresh string         // the refresh token beside one of them
	Failed  map[string]int // the reasons of what failed
}

// replica is a process that runs a Coordinator on a Redis: this test binary
// again.
type replica struct {
	t       *testing.T
	cmd     *exec.Cmd
	orders  io.WriteCloser
	reports chan report
}

const replicaVariable, replicaMark = "REDISSTORE_REPLICA", "replica reports: "

// startReplica starts a replica, which is killed when its test ends.
func startReplica(t *testing.T, redisURL, tokenURL string) *replica {
	t.Helper()
	r := &replica{t: t, reports: make(chan report, 2)}
	r.cmd = exec.Command(os.Args[0], "-test.run=^TestReplicaProcess$")
	r.cmd.Env = append(os.Environ(), replicaVariable+"="+redisURL+" "+tokenURL)
	r.cmd.Stderr = os.Stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if r.orders, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(r.reports)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), replicaMark); ok {
				var rep report
				json.Unmarshal([]byte(text), &rep)
				r.reports <- rep
			}
		}
	})
	t.Cleanup(func() {
		r.orders.Close()
		r.signal(syscall.SIGKILL)
		reading.Wait()
		r.cmd.Wait()
	})
	return r
}

// signal sends one; a process that has ended hears none.
func (r *replica) signal(s syscall.Signal) { r.cmd.Process.Signal(s) }

// stop stops the process, and returns when it stands still: a signal is on its
// way for a moment.
func (r *replica) stop() {
	r.t.Helper()
	r.signal(syscall.SIGSTOP)
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until); time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
		if err != nil { // no Linux
			time.Sleep(100 * time.Millisecond)
			return
		}
		if _, after, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(after, "T") {
			return
		}
	}
	r.t.Fatal("the replica does not stop")
}

func (r *replica) order(o order) {
	r.t.Helper()
	if err := json.NewEncoder(r.orders).Encode(o); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replica) report() report {
	r.t.Helper()
	select {
	case rep, ok := <-r.reports:
		if !ok {
			r.t.Fatal("the replica is gone")
		}
		return rep
	case <-time.After(time.Minute):
		r.t.Fatal("the replica hangs")
	}
	panic("unreachable")
}

// lease is short, so that a death is noticed soon.
const lease = time.Second

// TestReplicaProcess is no test but the replica.
func TestReplicaProcess(t *testing.T) {
	redisURL, tokenURL, ok := strings.Cut(os.Getenv(replicaVariable), " ")
	if !ok {
		t.Skip("only for the processes that other tests start")
	}
	store, err := redisstore.Open(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	halt := &halting{Refresher: &transport.TokenEndpoint{URL: tokenURL, ClientID: "bff"}}
	c := &tokencache.Coordinator{Refresher: halt, Store: store, Realm: "test", Lease: lease, Timeout: 5 * time.Second}
	for orders := json.NewDecoder(os.Stdin); ; {
		var o order
		if orders.Decode(&o) != nil {
			return
		}
		halt.at = o.Halt
		say(obey(c, o))
	}
}

func say(r report) {
	text, _ := json.Marshal(r)
	fmt.Printf("%s%s\n", replicaMark, text)
}

func obey(c *tokencache.Coordinator, o order) report {
	r := report{Access: map[string]int{}, Failed: map[string]int{}}
	spent := tokencache.NewToken(tokencache.TokenFields{Access: o.Access, Refresh: o.Refresh})
	var mu sync.Mutex
	var calls sync.WaitGroup
	for i := range o.Calls {
		calls.Go(func() {
			time.Sleep(time.Until(o.At.Add(time.Duration(i%2) * o.Late)))
			got, err := tokencache.New(c, spent).Refresh(context.Background(), spent)
			mu.Lock()
			defer mu.Unlock()
			var e *tokencache.Error
			switch {
			case err == nil:
				r.Access[got.Access()]++
				r.Refresh = got.Refresh()
			case errors.As(err, &e):
				r.Failed[string(e.Reason)]++
			default:
				r.Failed[err.Error()]++
			}
		})
	}
	calls.Wait()
	return r
}

// halting stands still for ever before or after a presentation, and says so.
type halting struct {
	tokencache.Refresher
	at string
}

func (h *halting) Refresh(ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
	if h.at == "before" {
		say(report{Halted: true})
		select {}
	}
	t, err := h.Refresher.Refresh(ctx, spent)
	if h.at == "after" {
		say(report{Halted: true})
		select {}
	}
	return t, err
}
