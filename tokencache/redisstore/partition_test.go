//go:build linux

package redisstore_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

type presenting func(tokencache.Token) (tokencache.Token, error)

func (p presenting) Refresh(_ context.Context, t tokencache.Token) (tokencache.Token, error) {
	return p(t)
}

// hear calls f with each line until there are no more.
func hear(r io.Reader, f func(line)) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		_, text, ok := strings.Cut(lines.Text(), wireMark)
		var l line
		if ok && json.Unmarshal([]byte(text), &l) == nil {
			f(l)
		}
	}
}

// cable is between the namespaces of the two replicas.
type cable struct{ t *testing.T }

func (c cable) ip(args ...string) {
	c.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		c.t.Errorf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (c cable) cut()  { c.t.Helper(); c.ip("link", "set", "near", "down") }
func (c cable) mend() { c.t.Helper(); c.ip("link", "set", "near", "up") }

// lay leads it to the process.
func (c cable) lay(f *far) {
	c.t.Helper()
	pid := strconv.Itoa(f.cmd.Process.Pid)
	c.ip("link", "add", "near", "type", "veth", "peer", "name", "far")
	c.ip("link", "set", "far", "netns", pid)
	c.ip("addr", "add", nearAddr+"/30", "dev", "near")
	for _, args := range [][]string{{"addr", "add", farAddr + "/30", "dev", "far"}, {"link", "set", "far", "up"}, {"link", "set", "lo", "up"}} {
		if out, err := exec.Command("nsenter", append([]string{"-t", pid, "-n", "ip"}, args...)...).CombinedOutput(); err != nil {
			c.t.Fatalf("%v: %s", err, out)
		}
	}
	c.mend()
}

// partition is two replicas, of which one is far, and what is between them.
type partition struct {
	cable
	as   *authority
	near *tokencache.Coordinator
	far  *far
}

// TestInANetworkOfItsOwn is no test of its own: see [TestAReplicaIsCutOff].
func TestInANetworkOfItsOwn(t *testing.T) {
	if os.Getenv(cutOffVariable) != "near" {
		t.Skip("only for the process that another test starts")
	}
	redisd.Need(t, "nsenter")
	cable{t}.ip("link", "set", "lo", "up")
	cable{t}.ip("link", "add", "first", "type", "veth", "peer", "name", "other") // so that Redis can have the address
	cable{t}.ip("addr", "add", nearAddr+"/30", "dev", "first")
	server := redisd.Start(t, "--bind", "127.0.0.1", nearAddr, "--protected-mode", "no")
	cable{t}.ip("link", "del", "first")
	as := &authority{}
	f := startFar(t, strings.Replace(server.Addr(), "127.0.0.1", nearAddr, 1), as)
	cable{t}.lay(f)
	for _, test := range []struct {
		sentence string
		run      func(*testing.T, *partition)
	}{
		{"before it asks", cutBefore},
		{"for a moment, while the server has its token", cutForAMoment},
		{"with its token, which the server never sees", cutFromTheServerToo},
		{"with its token, which the server sees too late", cutAndTooLate},
		{"with its answer, and is back soon", cutWithTheAnswer(true)},
		{"with its answer, and is back late", cutWithTheAnswer(false)},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			as := &authority{}
			f.t = t
			f.presents(as.exchange)
			p := &partition{cable{t}, as, coordinatorOn(t, server.Addr(), as), f}
			f.recovers(as.signIn()) // it is connected
			t.Cleanup(func() { p.mend(); f.presents(as.exchange) })
			test.run(t, p)
		})
	}
}

// takesOver has the near replica refresh, which must not take longer than the
// other's lease and what it does itself.
func (p *partition) takesOver(spent tokencache.Token) tokencache.Token {
	p.t.Helper()
	began := time.Now()
	got, err := p.near.Refresh(p.t.Context(), spent)
	if took := time.Since(began); err != nil || took > 3*lease {
		p.t.Fatalf("%v after %v", err, took)
	}
	p.t.Logf("the near replica took over after %v", time.Since(began).Round(time.Millisecond))
	return got
}

// agrees has the far replica recover, and find what the near one has.
func (p *partition) agrees(spent, got tokencache.Token) {
	p.t.Helper()
	if theirs := p.far.recovers(spent); !theirs.Same(got) {
		p.t.Error("two successors are in use")
	}
}

func cutBefore(t *testing.T, p *partition) {
	spent := p.as.signIn()
	p.cut()
	began := time.Now()
	_, err := p.far.outcome(p.far.refresh(spent))
	isTransient(t, err)
	t.Logf("%v after %v", err, time.Since(began).Round(time.Millisecond))
	p.as.saw(t, spent, 0)
	got := p.takesOver(spent)
	p.mend()
	p.agrees(spent, got)
	p.as.saw(t, spent, 1)
	next := p.far.recovers(got)
	livesOn(t, p.near, p.as, next)
}

func cutForAMoment(t *testing.T, p *partition) {
	spent := p.as.signIn()
	held := make(chan struct{})
	p.far.presents(func(spent tokencache.Token) (tokencache.Token, error) {
		p.cut()
		close(held)
		time.Sleep(lease / 3)
		p.mend()
		return p.as.exchange(spent)
	})
	theirs := p.far.refresh(spent)
	<-held
	got, err := p.near.Refresh(t.Context(), spent)
	if err != nil {
		t.Fatal(err)
	}
	if t2, err := p.far.outcome(theirs); err != nil || !t2.Same(got) {
		t.Errorf("two successors are in use, %v", err)
	}
	p.as.saw(t, spent, 1)
	livesOn(t, p.near, p.as, got)
}

func cutFromTheServerToo(t *testing.T, p *partition) {
	spent := p.as.signIn()
	held, over := make(chan struct{}), make(chan struct{})
	p.far.presents(func(tokencache.Token) (tokencache.Token, error) {
		p.cut()
		close(held)
		<-over
		return tokencache.Token{}, &tokencache.Error{Reason: reason.Network}
	})
	theirs := p.far.refresh(spent)
	<-held
	got := p.takesOver(spent)
	close(over)
	time.Sleep(lease) // it has its failure, and cannot say so
	p.far.presents(p.as.exchange)
	p.mend()
	if t2, err := p.far.outcome(theirs); err == nil && !t2.Same(got) || proves(err) {
		t.Errorf("two successors are in use, or %v", err)
	}
	p.agrees(spent, got)
	p.as.saw(t, spent, 1)
	livesOn(t, p.near, p.as, got)
}

// proves reports whether the error ends the session.
func proves(err error) bool {
	e, ok := err.(*tokencache.Error)
	return ok && e.Reason.Ends()
}

func cutAndTooLate(t *testing.T, p *partition) {
	spent := p.as.signIn()
	held, over := make(chan struct{}), make(chan struct{})
	p.far.presents(func(spent tokencache.Token) (tokencache.Token, error) {
		p.cut()
		close(held)
		<-over
		return p.as.exchange(spent)
	})
	theirs := p.far.refresh(spent)
	<-held
	got := p.takesOver(spent)
	close(over) // a strict server ends the session here: invariant 1
	_, err := p.far.outcome(theirs)
	isTransient(t, err) // without the Store there is no proof
	p.mend()
	p.agrees(spent, got)
	if n := p.as.reuses(); n != 1 {
		t.Errorf("%d spent tokens were presented, want 1", n)
	}
}

// cutWithTheAnswer: the token is spent, and only the far replica has the new one.
func cutWithTheAnswer(soon bool) func(*testing.T, *partition) {
	return func(t *testing.T, p *partition) {
		spent := p.as.signIn()
		held := make(chan struct{})
		p.far.presents(func(spent tokencache.Token) (tokencache.Token, error) {
			got, err := p.as.exchange(spent)
			p.cut()
			close(held)
			return got, err
		})
		theirs := p.far.refresh(spent)
		<-held
		began := time.Now()
		if soon {
			time.AfterFunc(3*lease, p.mend)
		}
		got, err := p.near.Refresh(t.Context(), spent)
		t.Logf("the near replica is told %v after %v", err, time.Since(began).Round(time.Millisecond))
		if e, _ := err.(*tokencache.Error); soon && err != nil || !soon && (e == nil || e.Reason != reason.Ambiguous) {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took > 20*lease {
			t.Errorf("it took %v", took)
		}
		mine, err := p.far.outcome(theirs)
		if err != nil || soon && !mine.Same(got) {
			t.Errorf("the far replica: %v; they have the same: %v", err, mine.Same(got))
		}
		p.mend()
		p.agrees(spent, mine)
	}
}
