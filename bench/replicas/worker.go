//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/transport"
	"github.com/redis/go-redis/v9"
)

// order is a line to a worker: let so many goroutines want the successor of a
// spent pair, the even ones at the instant At, the odd ones between Sooner and
// Later after it.
type order struct {
	Contender     string
	Spent         pair
	Calls         int
	At            int64
	Sooner, Later time.Duration
	Patience      time.Duration // after At
	Seed          [2]uint64
}

// report is the line that it answers with.
type report struct {
	Calls  []call
	Errors map[string]int
}

// call is what one goroutine did.
type call struct {
	Late       bool
	Planned    int64 // when it was to start
	Start, Got int64
	Next       pair // the zero pair if it failed
}

const variable, mark = "STORM_WORKER", "storm: "

// worker is a process of this program that knows the addresses of the Redis
// server and of the token endpoint.
type worker struct {
	orders  io.WriteCloser
	reports chan report
}

func startWorker(t testing.TB, redisAddr, tokenURL string) *worker {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{reports: make(chan report, 1)}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), variable+"="+redisAddr+" "+tokenURL)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if w.orders, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { w.read(out) })
	t.Cleanup(func() {
		cmd.Process.Kill()
		reading.Wait()
		cmd.Wait()
	})
	return w
}

func (w *worker) read(from io.Reader) {
	defer close(w.reports)
	for lines := bufio.NewReader(from); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if text, ok := strings.CutPrefix(line, mark); ok {
			var r report
			if json.Unmarshal([]byte(text), &r) != nil {
				return
			}
			w.reports <- r
		}
	}
}

func (w *worker) order(t testing.TB, o order) {
	t.Helper()
	if err := json.NewEncoder(w.orders).Encode(o); err != nil {
		t.Fatal(err)
	}
}

func (w *worker) report(t testing.TB) report {
	t.Helper()
	select {
	case r, ok := <-w.reports:
		if ok {
			return r
		}
		t.Fatal("a worker is gone")
	case <-time.After(2 * time.Minute):
		t.Fatal("a worker hangs")
	}
	panic("unreachable")
}

// work is what a worker process does until its parent has gone.
func work(addresses string) {
	redisAddr, tokenURL, _ := strings.Cut(addresses, " ")
	all := map[string]contender{}
	for name, start := range contenders {
		all[name] = start(redis.NewClient(&redis.Options{Addr: redisAddr}), &transport.TokenEndpoint{
			URL: tokenURL, ClientID: "storm", Base: http.DefaultTransport.(*http.Transport).Clone(),
		})
	}
	for orders := json.NewDecoder(os.Stdin); ; {
		var o order
		if orders.Decode(&o) != nil {
			return
		}
		text, err := json.Marshal(obey(all[o.Contender], o))
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s%s\n", mark, text)
	}
}

func obey(refresh contender, o order) report {
	ctx, cancel := context.WithTimeout(context.Background(), o.Patience+time.Duration(o.At-now()))
	defer cancel()
	r := report{Calls: make([]call, o.Calls)}
	errs := make([]error, o.Calls)
	lot := rand.New(rand.NewPCG(o.Seed[0], o.Seed[1]))
	var all sync.WaitGroup
	for i := range r.Calls {
		c := &r.Calls[i]
		c.Planned = o.At
		if c.Late = i%2 == 1; c.Late {
			c.Planned += int64(o.Sooner) + lot.Int64N(int64(o.Later-o.Sooner)+1)
		}
		all.Go(func() {
			sleepUntil(c.Planned)
			c.Start = now()
			c.Next, errs[i] = refresh(ctx, o.Spent)
			c.Got = now()
		})
	}
	all.Wait()
	for i, err := range errs {
		if err == nil {
			continue
		}
		if r.Errors == nil {
			r.Errors = map[string]int{}
		}
		r.Calls[i].Next = pair{}
		r.Errors[err.Error()]++
	}
	return r
}
