package redisstore_test

import (
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

	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// The addresses exist in a network namespace only.
const nearAddr, farAddr = "10.231.7.1", "10.231.7.2"

// again returns this test binary, for one test in a network namespace of its own.
func again(test, role string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), cutOffVariable+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	return cmd
}

// B47, B48: one of two replicas is cut off from Redis. All happens in a network
// of its own: see [TestInANetworkOfItsOwn].
func TestAReplicaIsCutOff(t *testing.T) {
	t.Parallel()
	redisd.Need(t, "ip", "redis-server")
	if os.Geteuid() != 0 {
		if os.Getenv("REBEARER_TEST_REQUIRE") == "all" {
			t.Fatal("root is required, to have a network namespace")
		}
		t.Skip("needs root, to have a network namespace")
	}
	out, err := again("TestInANetworkOfItsOwn", "near").Output()
	if err != nil || strings.Contains(string(out), "no tests to run") {
		t.Errorf("%v\n%s", err, out)
		return
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "_test.go:") || strings.Contains(line, "--- PASS") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// line is what a far replica and its test say to each other, over pipes that no
// partition cuts.
type line struct {
	Kind            string // "begin", "refresh", "present" or their answers "result", "presented"
	ID              int
	Access, Refresh string
	Reason          reason.Reason // if it failed
	Text            string
}

func (l line) token() tokencache.Token {
	return tokencache.NewToken(tokencache.TokenFields{Access: l.Access, Refresh: l.Refresh})
}

func (l line) outcome() (tokencache.Token, error) {
	if l.Reason != "" {
		return tokencache.Token{}, &tokencache.Error{Reason: l.Reason, Err: errors.New(l.Text)}
	}
	return l.token(), nil
}

// answering fills in what came of something.
func (l line) answering(kind string, t tokencache.Token, err error) line {
	a := line{Kind: kind, ID: l.ID, Access: t.Access(), Refresh: t.Refresh()}
	var e *tokencache.Error
	switch {
	case errors.As(err, &e):
		a.Reason, a.Text = e.Reason, err.Error()
	case err != nil:
		a.Reason, a.Text = reason.Unrecognised, err.Error()
	}
	return a
}

// wireMark begins a line among what the testing package prints.
const wireMark = "far replica: "

// far is a replica in another network namespace, which reaches Redis by a cable.
type far struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.Writer
	mu    sync.Mutex
	calls map[int]chan line
	next  int
	as    func(spent tokencache.Token) (tokencache.Token, error) // what it presents to
}

func startFar(t *testing.T, redisAddr string, as *authority) *far {
	t.Helper()
	f := &far{t: t, cmd: again("TestFarReplica", "far "+redisAddr), calls: map[int]chan line{}}
	f.presents(as.exchange)
	in, err := f.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.in = in
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var hearing sync.WaitGroup
	hearing.Go(func() { hear(out, f.hear) })
	t.Cleanup(func() { in.Close(); f.cmd.Process.Kill(); hearing.Wait(); f.cmd.Wait() })
	return f
}

// presents says what becomes of its presentations.
func (f *far) presents(as func(tokencache.Token) (tokencache.Token, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.as = as
}

func (f *far) hear(l line) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.Kind == "present" {
		as := f.as
		go func() {
			got, err := as(l.token())
			f.say(l.answering("presented", got, err))
		}()
		return
	}
	f.calls[l.ID] <- l
}

func (f *far) say(l line) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tell(f.in, l)
}

// refresh has it refresh, and returns where the outcome will be.
func (f *far) refresh(spent tokencache.Token) <-chan line {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	c := make(chan line, 1)
	f.calls[f.next] = c
	tell(f.in, line{Kind: "refresh", ID: f.next, Access: spent.Access(), Refresh: spent.Refresh()})
	return c
}

// outcome waits for it, though not for long.
func (f *far) outcome(c <-chan line) (tokencache.Token, error) {
	f.t.Helper()
	select {
	case l := <-c:
		return l.outcome()
	case <-time.After(30 * time.Second):
		f.t.Fatal("the far replica hangs")
	}
	panic("unreachable")
}

// recovers has it try until it succeeds.
func (f *far) recovers(spent tokencache.Token) tokencache.Token {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		got, err := f.outcome(f.refresh(spent))
		if err == nil {
			f.t.Logf("the far replica is back after %v", time.Since(began).Round(time.Millisecond))
			return got
		}
		if isTransient(f.t, err); f.t.Failed() || time.Since(began) > 20*time.Second {
			f.t.Fatalf("the far replica does not recover: %v", err)
		}
	}
}

func tell(w io.Writer, l line) {
	text, _ := json.Marshal(l)
	fmt.Fprintf(w, "%s%s\n", wireMark, text)
}

// TestFarReplica is no test but the replica that is cut off.
func TestFarReplica(t *testing.T) {
	addr, is := strings.CutPrefix(os.Getenv(cutOffVariable), "far ")
	if !is {
		t.Skip("only for the process that another test starts")
	}
	var mu sync.Mutex
	answers, n := map[int]chan line{}, 0
	say := func(l line) { mu.Lock(); defer mu.Unlock(); tell(os.Stdout, l) }
	c := coordinatorOn(t, addr, nil)
	c.Revoker = nil
	c.Refresher = presenting(func(spent tokencache.Token) (tokencache.Token, error) {
		mu.Lock()
		n++
		id, answer := n, make(chan line, 1)
		answers[id] = answer
		mu.Unlock()
		say(line{Kind: "present", ID: id, Access: spent.Access(), Refresh: spent.Refresh()})
		return (<-answer).outcome()
	})
	hear(os.Stdin, func(l line) {
		if l.Kind == "presented" {
			mu.Lock()
			defer mu.Unlock()
			answers[l.ID] <- l
			return
		}
		go func() {
			got, err := c.Refresh(t.Context(), l.token())
			say(l.answering("result", got, err))
		}()
	})
}
