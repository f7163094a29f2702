package main

import (
	"strings"
	"testing"
	"time"
)

// A tiny round: all are served, and the table tells of all.
func TestARound(t *testing.T) {
	all, err := contenders()
	if err != nil {
		t.Fatal(err)
	}
	if err := (plan{rounds: 2, slice: time.Millisecond}).run(all); err != nil {
		t.Fatal(err)
	}
	text := table(all)
	for _, c := range all {
		if len(c.samples) != 2 || !strings.Contains(text, "| "+c.name+" |") {
			t.Errorf("%s: %d rounds", c.name, len(c.samples))
		}
	}
	if n := strings.Count(text, "\n|"); n != len(all)+2 {
		t.Errorf("%d lines:\n%s", n, text)
	}
}

// Nobody wins by serving what he should not.
func TestABadTokenIsServedByNobody(t *testing.T) {
	all, err := contenders()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 7 || all[0].serve() != nil {
		t.Fatalf("%d contenders", len(all))
	}
	secret := []byte(strings.Repeat("k", 32))
	p := &page{}
	if err := serving(p, written(p, "HS256", secret), "a.b.c")(); err != errNotServed {
		t.Errorf("golang-jwt: %v", err)
	}
	if err := serving(p, handler(p, hs(secret)), "a.b.c")(); err != errNotServed {
		t.Errorf("rebearer: %v", err)
	}
	if parsing("HS256", secret, "a.b.c")() == nil {
		t.Error("golang-jwt alone")
	}
}
