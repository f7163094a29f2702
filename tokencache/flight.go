package tokencache

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rebearer/rebearer/tokencache/reason"
)

// join waits for the flight of a refresh token, and starts it if there is none.
// It is told apart by the key of the token: what is printed of a Coordinator
// must not hold the token. The flight goes on when ctx ends.
func (c *Coordinator) join(ctx context.Context, id string, how claim) outcome {
	led := false // written before landing, and not at all in a flight of somebody else
	c.work.add()
	landed := c.flights.DoChan(id, func() (any, error) {
		led = true
		x := c.begin(how)
		return <-guard(x.run, panicked), nil
	})
	select {
	case r := <-landed:
		c.work.done()
		out := r.Val.(outcome)
		out.led = led
		return out
	case <-ctx.Done():
		go func() { // [Coordinator.Wait] waits for the flight, not for its callers
			<-landed
			c.work.done()
		}()
		return outcome{err: left(ctx)}
	}
}

func panicked(why error) outcome {
	return outcome{err: &Error{Reason: reason.Panicked, Err: why}}
}

// guard runs f in a goroutine of its own and delivers what it returns, or what
// failed makes of a panic or a runtime.Goexit. recover cannot see Goexit, and
// singleflight's channels would stay silent after one. The value of a panic
// may hold a token and is not kept.
func guard[T any](f func() T, failed func(why error) T) <-chan T {
	out := make(chan T, 1)
	go func() {
		returned := false
		var v T
		defer func() {
			if returned {
				out <- v
				return
			}
			why := errors.New("runtime.Goexit was called")
			if p := recover(); p != nil {
				why = fmt.Errorf("panic with a %T", p)
			}
			out <- failed(why)
		}()
		v = f()
		returned = true
	}()
	return out
}

// gauge counts what is in flight and can be waited on. A sync.WaitGroup may not
// be added to while somebody waits for it to reach zero.
type gauge struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n falls to 0; nil if nobody waits
}

func (g *gauge) add() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
}

func (g *gauge) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n--; g.n == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

func (g *gauge) wait(ctx context.Context) error {
	g.mu.Lock()
	if g.n == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle := g.idle
	g.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
