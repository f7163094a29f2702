package tokencache

import (
	"testing"

	"github.com/rebearer/rebearer/tokencache/reason"
)

// B37: during a deploy a newer replica may write a reason that this one does not
// know. An end stays an end, and a failure is one of the closed set; a code that no
// server may send is none.
func TestAReasonOfTheFuture(t *testing.T) {
	k := derive("realm", "refresh")
	for s, want := range map[state]reason.Reason{failed: reason.Unrecognised, over: reason.LoggedOut} {
		value := k.seal(record{state: s, payload: payload{Failure: &failure{Reason: "of the future", Code: "a\r\nb"}}})
		r, err := k.open(Entry{Value: value, Version: "1"})
		if err != nil {
			t.Fatal(err)
		}
		if r.Failure.Reason != want || r.Failure.Code != "" {
			t.Errorf("%c: %q, code %q", s, r.Failure.Reason, r.Failure.Code)
		}
	}
}

// B51: numbers that nobody of ours has written delay nothing and overflow nothing.
func TestNumbersThatNobodyWrote(t *testing.T) {
	l := &leader{exchange: (&Coordinator{}).begin(claim{}), from: record{payload: payload{Timeout: 4 * 3600 * 1000}}}
	if d := l.rival(); d > 4*l.patience() {
		t.Errorf("somebody is waited for for %v", d)
	}
	k := derive("realm", "refresh")
	for _, tries := range []int{-1, -1 << 62, 1 << 62} {
		r, err := k.open(Entry{Value: k.seal(record{state: held, payload: payload{Tries: tries}}), Version: "1"})
		if err != nil || r.Tries < 0 || r.Tries > 1<<31 {
			t.Errorf("%d tries are %d, %v", tries, r.Tries, err)
		}
	}
}
