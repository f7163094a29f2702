package jwks_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/internal/jwks"
	"github.com/rebearer/rebearer/internal/jws"
)

// issuer answers with the set that it is given, and with 503 if there is none.
type issuer struct {
	keys  []jws.Key
	asked int
}

func (i *issuer) RoundTrip(*http.Request) (*http.Response, error) {
	i.asked++
	set, err := jws.JWKS(i.keys...)
	status := http.StatusOK
	if len(i.keys) == 0 {
		status = http.StatusServiceUnavailable
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(set))}, err
}

func newKey(t *testing.T, kid, alg string) jws.Key {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jws.Key{ID: kid, Alg: alg, Public: public}
}

// The generation is another one whenever the keys are, and then only; what has an
// old set fetched is nothing but being asked for it.
func TestGenerations(t *testing.T) {
	one, two, other := newKey(t, "1", "EdDSA"), newKey(t, "2", "EdDSA"), newKey(t, "1", "EdDSA")
	renamed, anyAlg := one, one
	renamed.ID, anyAlg.Alg = "3", ""
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		s := &jwks.Set{URL: "https://as.example.com/jwks", Base: i}
		if g := s.Generation(time.Now()); g != 0 || i.asked != 0 {
			t.Errorf("generation %d and %d fetches before a key was wanted", g, i.asked)
		}
		i.keys = []jws.Key{one}
		if _, err := s.Key(t.Context(), "1", "EdDSA"); err != nil {
			t.Fatal(err)
		}
		last := s.Generation(time.Now())
		if last == 0 {
			t.Error("there are keys, and generation 0")
		}
		for _, row := range []struct {
			what  string
			keys  []jws.Key
			fresh bool
		}{
			{"the same again", []jws.Key{one}, false},
			{"one more", []jws.Key{one, two}, true},
			{"the same two", []jws.Key{one, two}, false},
			{"in another order", []jws.Key{two, one}, false},
			{"one fewer", []jws.Key{one}, true},
			{"another key under its kid", []jws.Key{other}, true},
			{"and the first again", []jws.Key{one}, true},
			{"under another kid", []jws.Key{renamed}, true},
			{"and back", []jws.Key{one}, true},
			{"for any algorithm", []jws.Key{anyAlg}, true},
			{"an outage", nil, false}, // the last: the set is old after it
		} {
			i.keys = row.keys
			time.Sleep(15 * time.Minute)
			asked := i.asked
			if g := s.Generation(time.Now()); g != last || i.asked != asked {
				t.Errorf("%s: within 15 minutes: generation %d after %d, %d fetches", row.what, g, last, i.asked-asked)
			}
			time.Sleep(time.Second)
			s.Generation(time.Now())
			synctest.Wait()
			g := s.Generation(time.Now())
			synctest.Wait()
			if (g != last) != row.fresh || i.asked != asked+1 {
				t.Errorf("%s: generation %d after %d, %d fetches", row.what, g, last, i.asked-asked)
			}
			last = g
		}
	})
}

// The same keys in another order, as an issuer writes them that has them in a map,
// are the same keys. Else anybody who makes up a kid, which has the set fetched every
// 10 s, has every token that is remembered verified again. Of two keys with one kid
// the first is used, so that their order is news.
func TestTheOrderOfKeys(t *testing.T) {
	for second, news := range map[string]bool{"2": false, "1": true} {
		keys := []jws.Key{newKey(t, "1", "EdDSA"), newKey(t, second, "EdDSA")}
		synctest.Test(t, func(t *testing.T) {
			i := &issuer{keys: keys}
			s := &jwks.Set{URL: "https://as.example.com/jwks", Base: i}
			s.Key(t.Context(), "1", "EdDSA")
			before := s.Generation(time.Now())
			slices.Reverse(i.keys)
			time.Sleep(11 * time.Second)
			s.Key(t.Context(), "made up", "EdDSA")
			if after := s.Generation(time.Now()); i.asked != 2 || (after != before) != news {
				t.Errorf("the other is called %s: %d fetches, generation %d after %d", second, i.asked, after, before)
			}
		})
	}
}
