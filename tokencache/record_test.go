package tokencache

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/compact"
	"github.com/rebearer/rebearer/tokencache/reason"
)

const realm = "https://as.example.com bff"

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// opaque is 32 bytes in base64url, which are 43 letters.
func opaque() string { return base64.RawURLEncoding.EncodeToString(random(32)) }

// jwt has the length and the form of an access token that is signed with RS256.
func jwt(length int) string {
	part := base64.RawURLEncoding.EncodeToString
	ends := []string{part([]byte(`{"alg":"RS256","typ":"at+jwt","kid":"2026-01"}`)), part(random(256))}
	rest := length - len(ends[0]) - len(ends[1]) - 2
	claims := append([]byte(`{"iss":"https://as.example.com","scope":"`), bytes.Repeat([]byte("x"), rest)...)
	return ends[0] + "." + part(claims)[:rest] + "." + ends[1]
}

func session(access string) Token {
	now := time.Now().Truncate(time.Millisecond)
	return NewToken(TokenFields{Access: access, Refresh: opaque(), Issued: now, Expiry: now.Add(time.Hour)})
}

// records are one of each state, with all fields that it may have.
func records() map[string]record {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	end := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	full := compose(
		TokenFields{Access: jwt(700), Refresh: opaque(), Subject: "alice \xff", Key: p256, Issued: end, Expiry: end, RefreshExpiry: end},
		map[string]TokenFields{
			"https://a.example": {Access: "a\x00.b", Expiry: end, Key: ed},
			"https://b.example": {Access: opaque(), Expiry: end, Type: "N_A"},
		})
	unkeyed := NewToken(TokenFields{Access: "a", Type: "DPoP"})
	keyed := NewToken(TokenFields{Access: "a", Type: "Bearer", Key: ed})
	bad := &failure{Reason: reason.ClientRefused, Status: 401, Code: "invalid_client", Resource: "https://a.example", Since: end.UnixMilli(), For: 5000}
	ids := []string{idOf(realm, "1"), idOf(realm, "2")}
	return map[string]record{
		"born":                     {state: born, payload: payload{Prev: ids[0], Before: ids}},
		"held":                     {state: held, payload: payload{Unanswered: true, Tries: 3, Timeout: 15000, Refused: map[string]*failure{"https://a.example": bad, "": bad}}},
		"held with nothing":        {state: held},
		"done":                     {state: done, payload: payload{Token: sealable(full)}},
		"received":                 {state: received, payload: payload{Token: sealable(session("a"))}},
		"failed":                   {state: failed, payload: payload{Failure: bad, Tries: 1, Timeout: -1, Token: sealable(session("a"))}},
		"over":                     {state: over, payload: payload{Failure: &failure{Reason: reason.LoggedOut}}},
		"noted":                    {state: noted, payload: payload{Token: sealable(full)}},
		"DPoP without a key":       {state: done, payload: payload{Token: sealable(unkeyed)}},
		"Bearer with a key":        {state: done, payload: payload{Token: sealable(keyed)}},
		"a session before 1970":    {state: done, payload: payload{Token: &sealedToken{Access: "a", Type: "Bearer", Issued: -1}}},
		"tokens of 64 KiB":         {state: done, payload: payload{Token: sealable(session(strings.Repeat("ÿ", 32<<10)))}},
		"a failure of no resource": {state: failed, payload: payload{Failure: &failure{Reason: reason.Network}}},
	}
}

// B27: every field, byte for byte.
func TestARecordComesBackAsItWas(t *testing.T) {
	k := derive(realm, "spent")
	for name, r := range records() {
		t.Run(name, func(t *testing.T) {
			r.nonce = newNonce()
			value := k.seal(r)
			if got := stateOf(value); got != r.state {
				t.Errorf("the state is %q", got)
			}
			got, err := k.open(Entry{Value: value, Version: "1"})
			if err != nil || !reflect.DeepEqual(got, r) {
				t.Errorf("%+v, %v", got, err)
			}
			if again := k.seal(got); len(again) != len(value) {
				t.Errorf("%d bytes the second time, %d the first", len(again), len(value))
			}
		})
	}
}

// B51
func TestWhatDoesNotOpen(t *testing.T) {
	k := derive(realm, "spent")
	good := k.seal(record{state: done, payload: payload{Token: sealable(session("a"))}})
	change := func(at int, to byte) []byte {
		v := bytes.Clone(good)
		v[at] = to
		return v
	}
	for name, row := range map[string]struct {
		value []byte
		want  error
	}{
		"nothing":                         {[]byte{}, errFormat},
		"a header that is cut off":        {good[:headerSize-1], errFormat},
		"an older format":                 {change(0, 1), errFormat},
		"a newer format":                  {change(0, 3), errFormat},
		"an unknown state":                {change(1, 'x'), errFormat},
		"a state that needs a failure":    {change(1, byte(over)), errFormat},
		"a header without a payload":      {good[:headerSize], errSeal},
		"a payload that is cut off":       {good[:len(good)-1], errSeal},
		"a payload that was changed":      {change(len(good)-1, good[len(good)-1]^1), errSeal},
		"another token's value":           {derive(realm, "other").seal(record{state: held}), errSeal},
		"another realm's value":           {derive("r", "spent").seal(record{state: held}), errSeal},
		"the value of the entry beside":   {k.birth().seal(record{state: born}), errSeal},
		"a state that needs a token":      {k.seal(record{state: received}), errFormat},
		"an end without a reason":         {k.seal(record{state: over}), errFormat},
		"a payload with a field cut off":  {hostile(k, done, []byte{1, 2}), errFormat},
		"a payload that is JSON":          {hostile(k, done, []byte(`{"token":{}}`)), errFormat},
		"a payload that is no text":       {hostile(k, born, []byte{7, 1, 5}), errFormat},
		"a number with a tail":            {hostile(k, held, []byte{5, 2, 2, 2}), errFormat},
		"a resource twice":                {hostile(k, held, []byte{3, 4, 0, 0, 0, 0}), errFormat},
		"an access token that is no text": {hostile(k, done, []byte{1, 3, 1, 1, 5}), errFormat},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := k.open(Entry{Value: row.value, Version: "1"})
			if err != row.want || !reflect.DeepEqual(r, record{}) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// hostile is what somebody writes who knows the refresh token.
func hostile(k keys, s state, plain []byte) []byte {
	head := append([]byte{format, byte(s)}, make([]byte, nonceSize)...)
	return k.aead.Seal(head, nil, plain, k.associated())
}

// A newer writer's field is passed over by an older reader, wherever it stands.
func TestFieldsOfTheFutureArePassedOver(t *testing.T) {
	k := derive(realm, "spent")
	future := func(b *compact.Buffer) { b.Text(200, "of the future") }
	var b compact.Buffer
	b.Message(1, func() {
		b.Text(1, "access")
		b.Message(9, func() { b.Pair("https://a.example", func() { b.Text(1, "other"); future(&b) }) })
		future(&b)
	})
	b.Message(2, func() { b.Text(1, "network"); future(&b) })
	future(&b)
	r, err := k.open(Entry{Value: hostile(k, failed, b), Version: "1"})
	want := payload{
		Token:   &sealedToken{Access: "access", Type: "Bearer", Others: map[string]*sealedToken{"https://a.example": {Access: "other", Type: "Bearer"}}},
		Failure: &failure{Reason: reason.Network},
	}
	if err != nil || !reflect.DeepEqual(r.payload, want) {
		t.Errorf("%+v, %v", r, err)
	}
}

// Nothing is as deep as somebody likes.
func TestTheOthersHaveNoOthers(t *testing.T) {
	s, err := readToken([]byte{9, 5, 0, 3, 9, 1, 0}) // invalid if it were read
	if err != nil || len(s.Others) != 1 || s.Others[""].Others != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAnIDIsThatOfItsKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, realm := range []string{"", "r", "s", realm} {
		for _, refresh := range []string{"a", "b", "\x00", opaque()} {
			id := idOf(realm, refresh)
			if id != derive(realm, refresh).id || seen[id] || len(id) != 32 {
				t.Errorf("%q, %q: %q", realm, refresh, id)
			}
			seen[id] = true
		}
	}
}

// size is what a parked session takes: its successor, the note that the new
// refresh token was issued here, their keys, and the index of a Store over both.
func size(got Token) (done, born, total int) {
	const index = 45
	for id, value := range storedFor(got) {
		total += len(id) + len(value) + index
		if strings.HasSuffix(id, "birth") {
			born = len(value)
		} else {
			done = len(value)
		}
	}
	return done, born, total
}

// storedFor returns what is stored once a refresh token was exchanged for got.
func storedFor(got Token) map[string][]byte {
	spent, next := derive(realm, opaque()), derive(realm, got.Refresh()).birth()
	return map[string][]byte{
		spent.id: spent.seal(record{state: done, nonce: newNonce(), payload: payload{Token: sealable(got)}}),
		next.id:  next.seal(record{state: born, nonce: newNonce(), payload: payload{Prev: spent.id}}),
	}
}

// asJSON is how long the payload would be in JSON.
func asJSON(t testing.TB, got Token) int {
	t.Helper()
	s := sealable(got)
	b, err := json.Marshal(map[string]any{"token": map[string]any{
		"a": []byte(s.Access), "r": []byte(s.Refresh), "t": s.Type, "i": s.Issued, "e": s.Expiry,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return len(b)
}

// T-P4
func TestAParkedSessionIsSmall(t *testing.T) {
	for _, row := range []struct {
		name               string
		got                Token
		json, done, parked int // at most
	}{
		{"a JWT, 1,034 bytes in JSON", session(jwt(673)), 1034, 620, 850},
		{"a JWT of 700 bytes", session(jwt(700)), 1070, 640, 870},
		{"an opaque pair", session(opaque()), 194, 140, 372},
	} {
		json := asJSON(t, row.got)
		done, born, all := size(row.got)
		t.Logf("%s: %d bytes done, %d born, %d in all; %d in JSON", row.name, done, born, all, json)
		if json != row.json || done > row.done || born > 74 || all > row.parked {
			t.Errorf("%s: %d bytes done, %d born, %d in all; %d in JSON", row.name, done, born, all, json)
		}
	}
}

func TestSealingAndOpeningAllocateLittle(t *testing.T) {
	k, token := derive(realm, "spent"), session(jwt(700))
	r := record{state: done, payload: payload{Token: sealable(token)}}
	e := Entry{Value: k.seal(r), Version: "1"}
	for name, row := range map[string]struct {
		f    func()
		most float64
	}{
		"seal": {func() { k.seal(r) }, 2}, // the value, and what it is bound to
		"open": {func() { k.open(e) }, 5}, // what it is bound to, the payload, the token and its two texts
	} {
		if n := testing.AllocsPerRun(100, row.f); n > row.most {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// B51: whoever knows the refresh token can seal what he likes.
func FuzzOpen(f *testing.F) {
	k := derive(realm, "spent")
	states := []state{born, held, done, received, failed, over, noted}
	for name, r := range records() {
		if name == "tokens of 64 KiB" {
			continue // it takes a fuzzer too long
		}
		f.Add(byte(slices.Index(states, r.state)), plainly(r))
	}
	f.Add(byte(2), []byte{1, 3, 1, 1, 5})
	f.Fuzz(func(t *testing.T, n byte, plain []byte) {
		s := states[int(n)%len(states)]
		r, err := k.open(Entry{Value: hostile(k, s, plain), Version: "1"})
		if err != nil {
			if err != errFormat || r.state != absent {
				t.Errorf("%+v, %v", r, err)
			}
			return
		}
		r.Token.token()
		// What was read is written so that the same is read again.
		again, err := k.open(Entry{Value: k.seal(r), Version: "1"})
		if err != nil || !bytes.Equal(plainly(again), plainly(r)) {
			t.Errorf("%+v is read again as %+v, %v", r, again, err)
		}
	})
}

// plainly is the payload as it is written, in which nothing and an empty list
// are the same.
func plainly(r record) []byte {
	var b compact.Buffer
	r.payload.write(&b)
	return b
}

func BenchmarkSeal(b *testing.B) {
	k := derive(realm, "spent")
	for name, token := range map[string]Token{"JWT": session(jwt(700)), "opaque": session(opaque())} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				k.seal(record{state: done, payload: payload{Token: sealable(token)}})
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	k := derive(realm, "spent")
	for name, token := range map[string]Token{"JWT": session(jwt(700)), "opaque": session(opaque())} {
		e := Entry{Value: k.seal(record{state: done, payload: payload{Token: sealable(token)}}), Version: "1"}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, _ := k.open(e)
				r.Token.token()
			}
		})
	}
}

func BenchmarkDerive(b *testing.B) {
	refresh := opaque()
	b.ReportAllocs()
	for b.Loop() {
		derive(realm, refresh)
	}
}

func BenchmarkIDOf(b *testing.B) {
	refresh := opaque()
	b.ReportAllocs()
	for b.Loop() {
		idOf(realm, refresh)
	}
}
