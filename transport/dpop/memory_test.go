package dpop_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/transport/dpop"
)

// nonces is the header of an answer with these.
func nonces(values ...string) http.Header { return http.Header{"Dpop-Nonce": values} }

func sum(s string) string {
	b := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// nth returns one of many keys, quickly.
func nth(i int) crypto.Signer {
	seed := make([]byte, ed25519.SeedSize)
	binary.BigEndian.PutUint64(seed, uint64(i))
	return ed25519.NewKeyFromSeed(seed)
}

// at returns the nonce of the next proof there.
func at(t testing.TB, p *dpop.Prover, key crypto.Signer, url string) string {
	t.Helper()
	return prove(t, p, key, request(t, "GET", url), "").nonce
}

func learn(t testing.TB, p *dpop.Prover, key crypto.Signer, at, nonce string) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	if p.Learn(u, nonces(nonce), key, "") {
		t.Fatal("an answer that refuses nothing asks for another proof")
	}
}

// T-K1
func TestANonceIsOneValueOfVisibleASCII(t *testing.T) {
	long := strings.Repeat("n", 1024)
	for _, c := range []struct {
		name   string
		header http.Header
		want   string
	}{
		{"one", nonces("eyJ7S_zG.eyJH0-Z.HX4w-7v"), "eyJ7S_zG.eyJH0-Z.HX4w-7v"},
		{"all that may stand in it", nonces("!#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~"), "!#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~"},
		{"none", http.Header{}, ""},
		{"no header at all", nil, ""},
		{"an empty one", nonces(""), ""},
		{"two", nonces("a", "b"), ""},
		{"two that are the same", nonces("a", "a"), ""},
		{"two in one line", nonces("a, b"), ""},
		{"a space", nonces("a b"), ""},
		{"a quote", nonces(`a"b`), ""},
		{"a backslash", nonces(`a\b`), ""},
		{"a control character", nonces("a\x1bb"), ""},
		{"a line break", nonces("a\r\nb"), ""},
		{"DEL", nonces("a\x7f"), ""},
		{"a letter that is not ASCII", nonces("ä"), ""},
		{"the longest", nonces(long), long},
		{"a longer one", nonces(long + "n"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, key := &dpop.Prover{}, newKey(t, "EdDSA")
			u, _ := url.Parse("https://as.example/token")
			if again := p.Learn(u, c.header, key, "use_dpop_nonce"); again != (c.want != "") {
				t.Errorf("worth another proof: %v", again)
			}
			if got := at(t, p, key, u.String()); got != c.want {
				t.Errorf("nonce %q", got)
			}
		})
	}
}

// T-K1
func TestTheNewestNonceOfTheKeyAtTheOriginIsUsed(t *testing.T) {
	p := &dpop.Prover{}
	ann, bob, eve := newKey(t, ""), newKey(t, "EdDSA"), newKey(t, "")
	const as, api = "https://as.example/token", "https://api.example/me"
	if got := at(t, p, ann, as); got != "" {
		t.Fatalf("nonce %q of nobody", got)
	}
	learn(t, p, ann, as, "as-1")
	learn(t, p, ann, "HTTPS://As.example:/par?x", "as-2") // the same origin
	if got := at(t, p, ann, "HTTPS://AS.example:443/par?x"); got != "as-2" {
		t.Errorf("elsewhere at the origin: %q", got)
	}
	if got := at(t, p, ann, as); got != "as-2" {
		t.Errorf("a nonce is good until there is another: %q", got)
	}
	for _, other := range []string{api, "http://as.example/token", "https://as.example:8443/token", "https://sub.as.example/token"} {
		if got := at(t, p, ann, other); got != "" {
			t.Errorf("%s gets the nonce of another origin: %q", other, got)
		}
	}
	if got := at(t, p, bob, as); got != "as-2" {
		t.Errorf("a new key gets %q, not the newest of the origin", got)
	}
	learn(t, p, bob, as, "as-3")
	learn(t, p, bob, api, "api-1")
	for name, want := range map[string]struct {
		key        crypto.Signer
		url, nonce string
	}{
		"a key of its own nonce":             {ann, as, "as-2"},
		"another key of its own":             {bob, as, "as-3"},
		"a key that was never there":         {eve, as, "as-3"},
		"a key that was only elsewhere":      {ann, api, "api-1"},
		"a key at another origin of its own": {bob, api, "api-1"},
	} {
		if got := at(t, p, want.key, want.url); got != want.nonce {
			t.Errorf("%s: %q, want %q", name, got, want.nonce)
		}
	}
	u, _ := url.Parse(as)
	p.Learn(u, nil, ann, "")
	p.Learn(u, nonces("x", "y"), ann, "")
	if got := at(t, p, ann, as); got != "as-2" {
		t.Errorf("an answer without a nonce took it away: %q", got)
	}
}

// The Host is what the server is, wherever the request is dialled to.
func TestANonceBelongsToTheHostThatWasSent(t *testing.T) {
	p, key := &dpop.Prover{}, newKey(t, "EdDSA")
	learn(t, p, key, "http://api.example/", "n")
	req := request(t, "GET", "http://10.0.0.7:8080/a")
	req.Host = "api.example"
	if got := prove(t, p, key, req, ""); got.nonce != "n" {
		t.Errorf("nonce %q", got.nonce)
	}
}

// T-K1
func TestOnlyARefusalForTheNonceIsWorthAnotherProof(t *testing.T) {
	p, key := &dpop.Prover{}, newKey(t, "EdDSA")
	u, _ := url.Parse("https://as.example/token")
	for _, code := range []string{"", "invalid_grant", "invalid_token", "USE_DPOP_NONCE", "invalid_dpop_proof"} {
		nonce := "with-" + code
		if p.Learn(u, nonces(nonce), key, code) {
			t.Errorf("%q is worth another proof", code)
		}
		if got := at(t, p, key, u.String()); got != nonce {
			t.Errorf("%q: nonce %q", code, got)
		}
	}
	if p.Learn(u, nil, key, "use_dpop_nonce") {
		t.Error("the same nonce is worth another proof")
	}
}

// T-K1: all used the old nonce, and all are told the same new one.
func TestAllThatWereRefusedTogetherAreSentAgain(t *testing.T) {
	p, key := &dpop.Prover{}, newKey(t, "EdDSA")
	u, _ := url.Parse("https://api.example/")
	learn(t, p, key, u.String(), "old")
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if !p.Learn(u, nonces("new"), key, "use_dpop_nonce") {
				t.Error("one is not sent again")
			}
		})
	}
	wg.Wait()
	if got := at(t, p, key, u.String()); got != "new" {
		t.Errorf("nonce %q", got)
	}
}

// The bounds are 10,000 keys and 1,000 origins.
func TestWhatIsNotUsedIsForgotten(t *testing.T) {
	t.Run("keys", func(t *testing.T) {
		p := &dpop.Prover{}
		idle, busy, early := newKey(t, "EdDSA"), newKey(t, "EdDSA"), newKey(t, "EdDSA")
		const as = "https://as.example/token"
		learn(t, p, idle, as, "idle")
		learn(t, p, busy, as, "busy")
		learn(t, p, early, as, "early")
		for i := range 10_000 {
			learn(t, p, nth(i), as, "n")
			if i == 4_900 {
				if got := at(t, p, early, as); got != "early" {
					t.Errorf("forgotten too early: %q", got)
				}
			}
			if i%4_000 == 3_999 {
				if got := at(t, p, busy, as); got != "busy" {
					t.Errorf("what is used is forgotten after %d: %q", i, got)
				}
			}
		}
		if got := at(t, p, busy, as); got != "busy" {
			t.Errorf("what was used is forgotten: %q", got)
		}
		if got := at(t, p, idle, as); got != "n" {
			t.Errorf("nonce %q, want the newest of the origin", got)
		}
	})
	t.Run("origins", func(t *testing.T) {
		p, key := &dpop.Prover{}, newKey(t, "EdDSA")
		stranger := newKey(t, "EdDSA")
		learn(t, p, key, "https://as.example/", "idle")
		for i := range 1_001 {
			learn(t, p, key, fmt.Sprintf("https://as%d.example/", i), "n")
			if i == 400 {
				if got := at(t, p, stranger, "https://as.example/"); got != "idle" {
					t.Errorf("forgotten too early: %q", got)
				}
			}
		}
		for i := range 1_001 {
			learn(t, p, key, fmt.Sprintf("https://other%d.example/", i), "n")
		}
		if got := at(t, p, stranger, "https://as.example/"); got != "" {
			t.Errorf("still there: %q", got)
		}
	})
}

// T-K2
func TestARefusedProofSetsTheClock(t *testing.T) {
	const invalid = "invalid_dpop_proof"
	for _, c := range []struct {
		name  string
		code  string
		off   time.Duration
		again bool
	}{
		{"the server is an hour ahead", invalid, time.Hour, true},
		{"the server is an hour behind", invalid, -time.Hour, true},
		{"the server is in another time zone", invalid, 14 * time.Hour, true},
		{"the server is 6 seconds ahead", invalid, 6 * time.Second, true},
		{"the server is 6 seconds behind", invalid, -6 * time.Second, true},
		{"the clocks agree: it is not that", invalid, 0, false},
		{"5 seconds are nothing", invalid, 5 * time.Second, false},
		{"5 seconds behind are nothing", invalid, -5 * time.Second, false},
		{"a day is believed", invalid, 24 * time.Hour, true},
		{"more than a day is not", invalid, 24*time.Hour + time.Second, false},
		{"nor is a year ago", invalid, -365 * 24 * time.Hour, false},
		{"an answer that refuses nothing", "", time.Hour, false},
		{"an answer that wants a nonce", "use_dpop_nonce", time.Hour, true},
		{"an answer about something else", "invalid_token", time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, key := &dpop.Prover{}, newKey(t, "EdDSA")
				u, _ := url.Parse("https://api.example/")
				header := date(time.Now().Add(c.off))
				if c.code != invalid {
					header.Set("DPoP-Nonce", "n")
				}
				if again := p.Learn(u, header, key, c.code); again != c.again {
					t.Errorf("worth another proof: %v", again)
				}
				if !c.again || c.code != invalid {
					c.off = 0
				}
				wantClock(t, p, key, "https://api.example/a", c.off)
				wantClock(t, p, nth(1), "https://api.example/a", c.off)
				wantClock(t, p, key, "https://as.example/token", 0)
			})
		})
	}
}

func date(at time.Time) http.Header {
	return http.Header{"Date": {at.UTC().Format(http.TimeFormat)}}
}

func wantClock(t *testing.T, p *dpop.Prover, key crypto.Signer, url string, off time.Duration) {
	t.Helper()
	iat := prove(t, p, key, request(t, "GET", url), "").iat
	if got := time.Duration(iat-time.Now().Unix()) * time.Second; got != off {
		t.Errorf("%s: the clock is off by %v, want %v", url, got, off)
	}
}

// T-K2
func TestAClockIsSetOnceForAllThatWereRefusedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, key := &dpop.Prover{}, newKey(t, "EdDSA")
		u, _ := url.Parse("https://api.example/")
		refused := func(off time.Duration) bool {
			return p.Learn(u, date(time.Now().Add(off)), key, "invalid_dpop_proof")
		}
		for range 3 {
			if !refused(time.Hour) {
				t.Error("refused at the same time, and not sent again")
			}
		}
		time.Sleep(29 * time.Second)
		if !refused(time.Hour + time.Second) {
			t.Error("refused with the old clock, and not sent again")
		}
		time.Sleep(2 * time.Second)
		if refused(time.Hour) {
			t.Error("the clock is right, and still it is worth another proof")
		}
		wantClock(t, p, key, u.String(), time.Hour)
		if !refused(0) { // somebody has set ours
			t.Error("the clock is wrong now, and it is not worth another proof")
		}
		wantClock(t, p, key, u.String(), 0)
	})
}

func TestADateThatIsNoneSetsNoClock(t *testing.T) {
	p, key := &dpop.Prover{}, newKey(t, "EdDSA")
	u, _ := url.Parse("https://api.example/")
	hour := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for name, values := range map[string][]string{
		"none": nil, "an empty one": {""}, "two": {hour, hour}, "a number": {"4102444800"},
		"the year 9999": {"Fri, 31 Dec 9999 23:59:59 GMT"}, "the year 1": {"Mon, 01 Jan 0001 00:00:00 GMT"},
	} {
		if p.Learn(u, http.Header{"Date": values}, key, "invalid_dpop_proof") {
			t.Errorf("%s: worth another proof", name)
		}
		iat := prove(t, p, key, request(t, "GET", u.String()), "").iat
		if off := iat - time.Now().Unix(); off < -60 || off > 60 {
			t.Errorf("%s: the clock is off by %d s", name, off)
		}
	}
}

// T-K1, T-K2: whatever a server says, the next proof is a good one.
func FuzzLearn(f *testing.F) {
	f.Add("nonce", "Fri, 31 Dec 2100 23:59:59 GMT", "use_dpop_nonce")
	f.Add("a\r\nb", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), "invalid_dpop_proof")
	f.Add(`"`, "x", "")
	f.Add(strings.Repeat("a", 1025), "Sunday, 06-Nov-94 08:49:37 GMT", "x")
	f.Add("\x7f<>&\u2028", "Sun Nov  6 08:49:37 1994", "invalid_dpop_proof")
	key := nth(1)
	f.Fuzz(func(t *testing.T, nonce, date, code string) {
		p := &dpop.Prover{}
		u := &url.URL{Scheme: "https", Host: "api.example"}
		p.Learn(u, http.Header{"Dpop-Nonce": {nonce}, "Date": {date}}, key, code)
		got := prove(t, p, key, request(t, "GET", u.String()), access)
		if got.nonce != "" && got.nonce != nonce || len(got.nonce) > 1024 || strings.ContainsAny(got.nonce, " \"\\\r\n\x00\x7f") {
			t.Errorf("nonce %q", got.nonce)
		}
		if off := got.iat - time.Now().Unix(); off < -86_460 || off > 86_460 || code != "invalid_dpop_proof" && (off < -60 || off > 60) {
			t.Errorf("iat is off by %d s", off)
		}
	})
}
