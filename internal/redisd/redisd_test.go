//go:build unix

package redisd_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/redisd"
)

func TestServer(t *testing.T) {
	s := redisd.Start(t)
	stop := s.Monitor()
	s.Must("SET", "key", "value")
	if got := s.WithoutTTL(); len(got) != 1 || got[0] != "key" {
		t.Errorf("without TTL: %q", got)
	}
	if !bytes.Contains(s.Dump(), []byte("key\nvalue\n")) {
		t.Errorf("dumped %q", s.Dump())
	}
	if seen := stop(); !bytes.Contains(seen, []byte(`"SET" "key" "value"`)) {
		t.Errorf("monitored %q", seen)
	}
	s.Pause()
	began := time.Now()
	if _, err := s.Do("PING"); err == nil || time.Since(began) < time.Second {
		t.Errorf("paused, it answers: %v", err)
	}
	s.Resume()
	s.Must("PING")
	s.Kill()
	if _, err := s.Do("PING"); err == nil {
		t.Error("dead, it answers")
	}
	s.Restart()
	if v := s.Must("GET", "key"); v != nil {
		t.Errorf("it remembers %v", v)
	}
}

func TestCluster(t *testing.T) {
	c := redisd.StartCluster(t, 3, 1)
	was := c.MasterOf("key")
	was.Must("SET", "key", "value")
	was.Must("WAIT", "1", "1000")
	c.Failover(was)
	is := c.MasterOf("key")
	if is == was || is.Must("GET", "key") != "value" {
		t.Error("the replica has not taken over")
	}
}

func TestProxy(t *testing.T) {
	s := redisd.Start(t)
	p := redisd.StartProxy(t, s.Addr())
	through := func(args ...string) error { _, err := redisd.Do(p.Addr(), args...); return err }
	for range 3 {
		if err := through("SET", "k", "v\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.Counts()["SET"]; n != 3 {
		t.Errorf("%d of 3 were counted", n)
	}
	for name, fault := range map[string]struct{ begin, end func() }{
		"cut":    {p.Cut, p.Heal},
		"frozen": {p.Freeze, p.Thaw},
		"mute":   {p.Mute, p.Unmute},
	} {
		fault.begin()
		if through("INCR", name) == nil {
			t.Errorf("%s, it answers", name)
		}
		fault.end()
		if err := through("PING"); err != nil {
			t.Errorf("no longer %s: %v", name, err)
		}
	}
	if s.Must("GET", "mute") != "1" {
		t.Error("what was asked while mute was not done")
	}
}
