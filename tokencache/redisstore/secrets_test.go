//go:build unix

package redisstore_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// forms returns how a token could be found again: any 8 bytes of it that are not
// those of all tokens, as they are, in hexadecimal and in base64.
func forms(token string) (all []string) {
	_, secret, _ := strings.Cut(token, "-")
	for i := 0; i+8 <= len(secret); i++ {
		part := secret[i : i+8]
		all = append(all, part, hex.EncodeToString([]byte(part)), strings.ToUpper(hex.EncodeToString([]byte(part))))
		for skip := range 3 { // where its first byte stands in a group of three
			b64 := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", skip) + part))
			from := min(skip, 1) * 4 // only groups that hold nothing else
			all = append(all, b64[from:from+8])
		}
	}
	return all
}

// leaks returns what of the tokens the text holds.
func leaks(text []byte, tokens []string) (found []string) {
	for _, token := range tokens {
		for _, form := range forms(token) {
			if bytes.Contains(text, []byte(form)) {
				found = append(found, form)
			}
		}
	}
	return found
}

// refuses is a Refresher that fails.
type refuses struct{ why *tokencache.Error }

func (r refuses) Refresh(context.Context, tokencache.Token) (tokencache.Token, error) {
	return tokencache.Token{}, r.why
}

// live has two replicas go through what may happen to sessions.
func live(t *testing.T, a, b *tokencache.Coordinator, as *authority) {
	t.Helper()
	failing := func(why *tokencache.Error) {
		spent := as.signIn()
		c := &tokencache.Coordinator{Refresher: refuses{why}, Store: a.Store, Realm: a.Realm, Lease: lease}
		_, err := c.Refresh(t.Context(), spent)
		var e *tokencache.Error
		if !errors.As(err, &e) || e.Reason != why.Reason {
			t.Errorf("%v, want %v", err, why)
		}
	}
	for _, r := range []reason.Reason{reason.Unavailable, reason.Network, reason.Refused, reason.Malformed} {
		failing(&tokencache.Error{Reason: r, Status: 503, Err: errors.New("why")})
	}
	for i := range 10 {
		at := as.signIn()
		for step := range 4 {
			old := at
			at = livesOn(t, []*tokencache.Coordinator{a, b}[step%2], as, old)
			if again, err := b.Refresh(t.Context(), old); err != nil || !again.Same(at) {
				t.Errorf("session %d has two successors: %v", i, err)
			}
		}
		if i%2 == 0 {
			if err := a.Revoke(t.Context(), at); err != nil {
				t.Error(err)
			}
			if _, err := b.Refresh(t.Context(), at); !errors.Is(err, tokencache.ErrLoginRequired) {
				t.Errorf("after the logout: %v", err)
			}
		}
	}
}

// B49, B51, T-I5: whatever happens, no token reaches Redis, and nothing stays for ever.
func TestRedisHoldsNoToken(t *testing.T) {
	server, as := redisd.Start(t), &authority{}
	a, b := coordinatorOn(t, server.Addr(), as), coordinatorOn(t, server.Addr(), as)
	stop := server.Monitor()
	live(t, a, b, as)
	for _, c := range []*tokencache.Coordinator{a, b} {
		if err := c.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	dumped, seen := server.Dump(), stop()
	for what, text := range map[string][]byte{"the dump": dumped, "the monitor": seen} {
		if found := leaks(text, as.issued); len(found) > 0 {
			t.Errorf("%s holds %q", what, found)
		}
	}
	if len(dumped) < 1000 || !bytes.Contains(seen, []byte("set")) && !bytes.Contains(seen, []byte("SET")) {
		t.Fatalf("%d bytes dumped, %d seen", len(dumped), len(seen))
	}
	// It would be found.
	token := as.issued[3]
	for _, form := range []string{token, hex.EncodeToString([]byte(token)), base64.StdEncoding.EncodeToString([]byte(token)), base64.RawURLEncoding.EncodeToString([]byte("x" + token))} {
		if len(leaks([]byte(form), as.issued[3:4])) == 0 {
			t.Errorf("%q is not found", form)
		}
	}
	keys := server.Keys()
	for _, k := range keys {
		if !strings.HasPrefix(k, "rebearer:") {
			t.Errorf("the key %q has no prefix", k)
		}
	}
	if forever := server.WithoutTTL(); len(forever) > 0 || len(keys) < 40 {
		t.Errorf("of %d keys, %d live for ever: %q", len(keys), len(forever), forever)
	}
}

// B49, T-I5: who has all that Redis holds, and no refresh token, cannot go on with any
// session; who has one of another session neither.
func TestADumpOpensNothing(t *testing.T) {
	server, as := redisd.Start(t), &authority{}
	c := coordinatorOn(t, server.Addr(), as)
	alice, bob := as.signIn(), as.signIn()
	livesOn(t, c, as, alice)
	livesOn(t, c, as, bob)
	keys := map[string]string{}
	for _, k := range server.Keys() {
		keys[k] = server.Must("GET", k).(string)
	}
	// Everything lies under every key: whoever is shown a value of another
	// session cannot open it, and takes it for no proof of anything.
	carol := as.signIn()
	thief := &tokencache.Coordinator{Refresher: as, Store: storeOn(t, server.Addr()), Realm: "test", Lease: lease}
	livesOn(t, thief, as, carol)
	for _, k := range server.Keys() {
		if _, others := keys[k]; others {
			continue
		}
		for _, v := range keys {
			server.Must("SET", k, v, "EX", "60")
			got, err := coordinatorOn(t, server.Addr(), as).Refresh(t.Context(), carol)
			var e *tokencache.Error
			if err == nil && (got.Access() == "" || as.owner(got) != as.owner(carol)) {
				t.Errorf("carol is given the token of somebody else")
			}
			if err != nil && (!errors.As(err, &e) || e.Reason.Ends()) {
				t.Errorf("it ends the session: %v", err)
			}
		}
	}
	as.saw(t, carol, 1)
}

// B51: what no version of ours has written is transient, and presents nothing.
func TestWhatSomebodyElseWroteIsTransient(t *testing.T) {
	server, as := redisd.Start(t), &authority{}
	c := coordinatorOn(t, server.Addr(), as)
	spent := as.signIn()
	livesOn(t, c, as, spent)
	for name, value := range map[string]string{"short": "x", "another format": "0123456789abcdef\xffwho knows", "no value": "0123456789abcdef", "text": strings.Repeat("text ", 100)} {
		for _, k := range server.Keys() {
			server.Must("SET", k, value, "EX", "60")
		}
		_, err := coordinatorOn(t, server.Addr(), as).Refresh(t.Context(), spent)
		var e *tokencache.Error
		if !errors.As(err, &e) || e.Reason.Ends() || e.Reason.Misconfigured() {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %v", name, err)
	}
	for _, k := range server.Keys() {
		server.Must("DEL", k)
		server.Must("RPUSH", k, "x")
	}
	_, err := coordinatorOn(t, server.Addr(), as).Refresh(t.Context(), spent)
	isTransient(t, err)
	as.saw(t, spent, 1)
}

// B50: requests whose access token works ask Redis for nothing.
func TestTheHappyPathAsksRedisForNothing(t *testing.T) {
	server, as := redisd.Start(t), &authority{}
	proxy := redisd.StartProxy(t, server.Addr())
	store := storeOn(t, proxy.Addr())
	c := coordinatorWith(t, store, as)
	newest := livesOn(t, c, as, as.signIn())
	listens(t, store, proxy)
	if err := c.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Reset()
	for i := range 1000 {
		for name, shown := range map[string]tokencache.Token{
			"a token that was refreshed": newest,
			"another":                    as.signIn(),
			"one that says when it ends": tokencache.NewToken(tokencache.TokenFields{
				Access: fmt.Sprint("a", i), Refresh: fmt.Sprint("r", i), Expiry: time.Now().Add(time.Hour)}),
		} {
			cache := tokencache.New(c, shown)
			if got, err := cache.Fresh(t.Context()); err != nil || !got.Same(shown) || !cache.Token().Same(shown) {
				t.Fatalf("%s: another token, %v", name, err)
			}
			stop := cache.Accompany()
			if _, is := cache.Changed(); is {
				t.Fatalf("%s: it has changed", name)
			}
			stop()
		}
	}
	if n := proxy.Counts(); len(n) > 0 {
		t.Errorf("it asks for %v", n)
	}
}
