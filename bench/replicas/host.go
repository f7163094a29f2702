//go:build unix

package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"testing"
)

// host is what redisd needs of a test, for a program.
type host struct {
	testing.TB // for the methods that nobody calls

	mu    sync.Mutex
	after []func()
}

func newHost() *host {
	h := &host{}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	go func() {
		<-interrupts
		h.Fatal("interrupted")
	}()
	return h
}

func (h *host) Helper() {}

func (h *host) Logf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func (h *host) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	h.end()
	os.Exit(1)
}

func (h *host) Fatalf(format string, args ...any) { h.Fatal(fmt.Sprintf(format, args...)) }
func (h *host) Skipf(format string, args ...any)  { h.Fatalf(format, args...) }

func (h *host) Cleanup(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.after = append(h.after, f)
}

func (h *host) TempDir() string {
	dir, err := os.MkdirTemp("", "storm")
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// end cleans up, the last first.
func (h *host) end() {
	h.mu.Lock()
	after := h.after
	h.after = nil
	h.mu.Unlock()
	for i := range after {
		after[len(after)-1-i]()
	}
}
