//go:build unix

package faults

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// What the proxy does has to be what it says, or the runs prove nothing.

// aServer counts the requests that it has carried out, over TLS and by way of a
// proxy.
func aServer(t *testing.T) (p *proxy, url string, c *http.Client, carriedOut *atomic.Int64) {
	t.Helper()
	carriedOut = new(atomic.Int64)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			carriedOut.Add(1)
		}
		w.Write(body)
	}))
	t.Cleanup(srv.Close)
	p = startProxy(t, host(srv.URL))
	c = srv.Client()
	t.Cleanup(c.CloseIdleConnections)
	return p, "https://" + p.addr, c, carriedOut
}

func post(c *http.Client, url string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("hello"))
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	return err
}

type wayRow struct {
	fault
	passes bool             // though slowly
	slower time.Duration    // than this
	is     func(error) bool // what a new connection meets; nil: anything
}

// patience is how long a request is waited for.
func (r wayRow) patience() time.Duration {
	if r.passes {
		return 10 * time.Second
	}
	return time.Second
}

// Each fault is felt by connections from before it and by new ones, one before
// the effect loses no answer, and all is well afterwards.
func TestAWayFails(t *testing.T) {
	for name, row := range map[string]wayRow{
		"latency":                      {fault: fault{kind: latency, delay: 200 * time.Millisecond}, passes: true, slower: 200 * time.Millisecond},
		"a kilobyte a second":          {fault: fault{kind: trickle}, passes: true, slower: 200 * time.Millisecond},
		"reset":                        {fault: fault{kind: reset}},
		"reset before the effect":      {fault: fault{kind: reset, before: true}},
		"slow close":                   {fault: fault{kind: slowClose, delay: 200 * time.Millisecond}},
		"slow close before the effect": {fault: fault{kind: slowClose, delay: 200 * time.Millisecond, before: true}},
		"half-open":                    {fault: fault{kind: halfOpen}, is: isDeadline},
		"half-open before the effect":  {fault: fault{kind: halfOpen, before: true}, is: isDeadline},
		"connection refused":           {fault: fault{kind: refusing}, is: isRefused},
		"refused before the effect":    {fault: fault{kind: refusing, before: true}, is: isRefused},
		"no TLS":                       {fault: fault{kind: badTLS}, is: isAlert},
		"no TLS before the effect":     {fault: fault{kind: badTLS, before: true}, is: isAlert},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, url, c, carriedOut := aServer(t)
			if err := post(c, url, 5*time.Second); err != nil {
				t.Fatal(err)
			}
			p.begin(row.fault)
			var err error
			for range 3 { // over the old connection, and over new ones
				began := time.Now()
				err = post(c, url, row.patience())
				if took := time.Since(began); row.passes && (err != nil || took < row.slower) {
					t.Fatalf("%v after %v", err, took)
				}
				if !row.passes && err == nil && row.kind != reset {
					t.Error("a request passes")
				}
			}
			if !row.passes && row.is != nil && !row.is(err) {
				t.Errorf("a new connection meets %v", err)
			}
			if n := carriedOut.Load() - 1; row.before && n != 0 || row.fault.kind == slowClose && !row.before && n != 1 {
				t.Errorf("%d requests had an effect", n)
			}
			p.end()
			for until := time.Now().Add(10 * time.Second); post(c, url, time.Second) != nil; {
				if time.Now().After(until) {
					t.Fatal("the way does not heal")
				}
			}
			if p.counted()[row.fault.String()] == 0 && row.kind != refusing {
				t.Error("nobody felt it")
			}
		})
	}
}

func isDeadline(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// isRefused reports whether nobody listens.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

func isAlert(err error) bool {
	var alert tls.AlertError
	return errors.As(err, &alert) || strings.Contains(err.Error(), "handshake failure")
}
