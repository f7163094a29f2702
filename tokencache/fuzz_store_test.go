package tokencache

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/internal/compact"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// plainServer is an authorization server that does one thing, always.
type plainServer struct {
	how       byte // it answers
	mu        sync.Mutex
	presented []string
	revoked   int
}

func (s *plainServer) Refresh(_ context.Context, spent Token) (Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.presented = append(s.presented, spent.Refresh())
	n := strings.Repeat("x", len(s.presented))
	switch s.how % 8 {
	case 1:
		return Token{}, &Error{Reason: reason.Refused, Status: 400, Code: "invalid_grant"}
	case 2:
		return Token{}, &Error{Reason: reason.Unavailable, Status: 503, RetryAfter: time.Duration(s.how) * time.Second}
	case 3:
		return Token{}, &Error{Reason: reason.ClientRefused, Status: 401, Code: "invalid_client"}
	case 4: // there is no rotation
		return NewToken(TokenFields{Access: "issued-access-" + n}), nil
	case 5: // it was issued before
		return NewToken(TokenFields{Access: "issued-access-" + n, Refresh: "next", Expiry: time.Now().Add(-time.Hour)}), nil
	case 6:
		return NewToken(TokenFields{Access: "stored-access", Refresh: "issued-refresh-" + n}), nil
	case 7:
		return Token{}, errors.New("nothing is known")
	}
	return NewToken(TokenFields{Access: "issued-access-" + n, Refresh: "issued-refresh-" + n, Expiry: time.Now().Add(time.Hour)}), nil
}

func (s *plainServer) Revoke(context.Context, Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked++
	return nil
}

func (s *plainServer) presentations() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.presented)
}

// FuzzHostileStore: whatever stands under the keys of a session and of what it
// leads to, sealed by somebody who knows its refresh tokens or written by
// somebody who does not, a refresh, a catching up, a sign-in and a logout come to
// an end, with an error of the set or with a token, and with one presentation at
// the most (B32, B51, T-D12, T-I2, T-I6).
func FuzzHostileStore(f *testing.F) {
	states := []state{born, held, done, received, failed, over, noted}
	message := func(write func(b *compact.Buffer)) []byte {
		var b compact.Buffer
		write(&b)
		return b
	}
	successor := func(refresh string, expiry int64) []byte {
		p := payload{Token: &sealedToken{Access: "stored-access", Refresh: refresh, Type: "Bearer", Expiry: expiry}}
		return message(p.write)
	}
	ended := func(why reason.Reason, since, lasts int64) []byte {
		p := payload{Failure: &failure{Reason: why, Status: 400, Code: "a\r\nb", Since: since, For: lasts}, Tries: 1 << 40, Token: &sealedToken{Access: "a", Refresh: "next"}}
		return message(p.write)
	}
	// The clock of a bubble begins in 2000: what ends in 2001 lives, what ended in 1999 does not.
	const alive, dead = 978_307_200_000, 915_148_800_000
	f.Add(byte(2), successor("next", alive), byte(2), successor("spent", alive), false, byte(0)) // a ring
	f.Add(byte(2), successor("next", dead), byte(2), successor("last", dead), false, byte(0))
	f.Add(byte(2), successor("spent", dead), byte(0), []byte{}, false, byte(0))
	f.Add(byte(2), successor("", dead), byte(1), []byte{}, false, byte(0))
	f.Add(byte(3), successor("next", -1<<63), byte(5), ended(reason.LoggedOut, 0, 0), false, byte(0))
	f.Add(byte(4), ended(reason.Refused, 0, 0), byte(4), ended(reason.Network, 946_684_800_000, 1<<62), false, byte(0))
	f.Add(byte(4), ended(reason.Network, 946_684_800_000, 1<<40), byte(4), ended(reason.Timeout, 946_684_800_000, 1<<44), false, byte(0))
	f.Add(byte(4), ended("nonsense", -1<<63, 1<<62), byte(2), successor("next", 0), false, byte(0))
	f.Add(byte(5), ended("", 0, 0), byte(6), successor("a\x00", alive), false, byte(0))
	f.Add(byte(1), message((&payload{Unanswered: true, Timeout: 1 << 62, Tries: -1}).write), byte(1), message((&payload{Timeout: -1}).write), false, byte(0))
	f.Add(byte(0), message((&payload{Prev: "x", Before: []string{"y", ""}}).write), byte(0), []byte{}, false, byte(0))
	f.Add(byte(2), []byte{}, byte(3), []byte{}, false, byte(0))
	f.Add(byte(4), []byte{}, byte(5), []byte{}, false, byte(0))
	f.Add(byte(2), []byte{format, 'd', 0}, byte(2), []byte{}, true, byte(0))
	for how := range byte(8) {
		f.Add(byte(2), successor("next", dead), byte(2), successor("last", dead), false, how)
		f.Add(byte(1), message((&payload{Unanswered: true}).write), byte(4), ended(reason.Network, 0, 0), false, how)
		f.Add(byte(4), ended(reason.Network, 0, 0), byte(1), []byte{}, false, how)
	}
	f.Fuzz(func(t *testing.T, first byte, one []byte, second byte, two []byte, unsealed bool, how byte) {
		synctest.Test(t, func(t *testing.T) {
			store := &MemoryStore{}
			for refresh, v := range map[string]struct {
				n     byte
				plain []byte
			}{"spent": {first, one}, "next": {second, two}} {
				k := derive(realm, refresh)
				value := hostile(k, states[int(v.n)%len(states)], v.plain)
				if unsealed {
					value = append([]byte{}, v.plain...)
				}
				store.Swap(t.Context(), k.id, "", value, time.Hour)
				note := hostile(k.birth(), states[int(v.n/8)%len(states)], v.plain)
				store.Swap(t.Context(), k.birth().id, "", note, time.Hour)
			}
			visit(t, store, how)
		})
	})
}

// visit does all that a session can meet with a Store.
func visit(t *testing.T, store Store, how byte) {
	server := &plainServer{how: how}
	c := &Coordinator{Refresher: server, Revoker: server, Store: store, Realm: realm}
	for _, shown := range []Token{
		NewToken(TokenFields{Access: "shown-access", Refresh: "spent"}), NewToken(TokenFields{Access: "shown-access", Refresh: "spent"}).For("https://a.example"),
		NewToken(TokenFields{Access: "stored-access", Refresh: "next"}),
	} {
		cache := New(c, shown)
		sound(t, Token{}, cache.CatchUp(t.Context()))
		before, began := server.presentations(), time.Now()
		got, err := cache.Refresh(t.Context(), shown)
		sound(t, got, err)
		if n := server.presentations() - before; n > 1 {
			t.Errorf("%d presentations for one refresh: %q", n, server.presented)
		}
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("a refresh took %v", took)
		}
		if err == nil && got.Access() == shown.Access() && how%8 != 6 {
			t.Errorf("the answer to the end of %q is %q", shown.Access(), got.Access())
		}
	}
	shown := NewToken(TokenFields{Access: "shown-access", Refresh: "spent"})
	sound(t, Token{}, c.Replace(t.Context(), shown, NewToken(TokenFields{Access: "new", Refresh: "new"})))
	sound(t, Token{}, c.Revoke(t.Context(), shown))
	c.Wait(t.Context())
	if slices.Contains(server.presented, "") {
		t.Errorf("nothing is presented: %q", server.presented)
	}
}

// sound checks what holds of every outcome.
func sound(t *testing.T, got Token, err error) {
	t.Helper()
	if err == nil {
		got.SetHeader(http.Header{})
		return
	}
	var e *Error
	if errors.Is(err, ErrNoRefreshToken) && got.IsZero() {
		return
	}
	if !errors.As(err, &e) || !e.Reason.Known() || !got.IsZero() || e.Reason == reason.Panicked {
		t.Fatalf("%v, %v", got, err)
	}
	if e.RetryAfter < 0 {
		t.Errorf("%v: again after %v", err, e.RetryAfter)
	}
	if errors.Is(err, ErrLoginRequired) != e.Reason.Ends() {
		t.Errorf("%v ends the session, or does not", err)
	}
	for i := range len(err.Error()) {
		if c := err.Error()[i]; c < ' ' || c > '~' {
			t.Fatalf("%q", err)
		}
	}
}
