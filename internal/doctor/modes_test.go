package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/doctor"
)

// found is what matters of a report.
type found struct {
	rotates, secondUse, old, family, others string
	grace, over                             time.Duration
	revocation                              string
	presentations                           int
	dead                                    string // what Dead has to say
}

func of(r doctor.Report) found {
	var entries []string
	for _, l := range r.Dead {
		if l.Entry != "" && !slices.Contains(entries, l.Entry) {
			entries = append(entries, l.Entry)
		}
	}
	return found{
		r.Refresh.Rotates, r.Refresh.SecondUse, r.Refresh.Old, r.Refresh.Family, r.Refresh.Others,
		time.Duration(r.Refresh.Grace), time.Duration(r.Refresh.Over), r.Revocation.Works, r.Spent.Presentations, strings.Join(entries, ", "),
	}
}

func TestWhatItFindsOfEachMode(t *testing.T) {
	strict := found{"yes", "refused", "400 invalid_grant", "dies", "lives", 0, 0, "yes", 4 + 2 + 2, ""}
	grace := found{"yes", "another pair", "400 invalid_grant", "dies", "lives", 3 * time.Second, 10 * time.Second, "yes", 10 + 2 + 2, ""}
	long := found{"yes", "another pair", "400 invalid_grant", "dies", "lives", 20 * time.Second, 0, "yes", 13 + 2 + 2, ""}
	none := found{"no", "another access token", "not tried", "", "not tried", 0, 0, "yes", 2 + 2 + 1, ""}
	cookie := func(f found) found {
		f.old = strings.Replace(f.old, "400 invalid_grant", "401 Unauthorized", 1)
		return f
	}
	for _, row := range []struct {
		name   string
		mode   authtest.ASConfig
		cookie bool
		want   found
	}{
		{"strict", authtest.ASConfig{}, false, strict},
		{"a grace of 10 s", authtest.ASConfig{Rotation: authtest.Grace}, false, grace},
		{"a grace longer than what is tried", authtest.ASConfig{Rotation: authtest.Grace, GraceFor: time.Hour, RefreshTTL: 10 * time.Hour}, false, long},
		{"no rotation", authtest.ASConfig{Rotation: authtest.NoRotation}, false, none},
		{"strict with cookies", authtest.ASConfig{}, true, cookie(strict)},
		{"a grace of 10 s with cookies", authtest.ASConfig{Rotation: authtest.Grace}, true, cookie(grace)},
		{"no rotation with cookies", authtest.ASConfig{Rotation: authtest.NoRotation}, true, none},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.mode.Alg = "ES256"
			w := newWorld(t, row.mode)
			c := w.config(3)
			if row.cookie {
				c = w.cookies(3)
			}
			d, r := examine(t, w, c)
			if got := of(r); got != row.want {
				t.Errorf("found %+v\nand not %+v\n%s", got, row.want, d.Text())
			}
			if w.PresentationsOf(c.Sessions[2]) != map[bool]int{true: 1, false: 1}[row.cookie] {
				t.Errorf("session 3's token was presented %d times", w.PresentationsOf(c.Sessions[2]))
			}
			leftOut := row.mode.Rotation == authtest.NoRotation
			if r.Refresh.LeftOut != leftOut {
				t.Errorf("an answer left the refresh token out: %t", r.Refresh.LeftOut)
			}
			if a := r.Access; a.Kind != "JWT" || a.Alg != "ES256" || a.Typ != "at+jwt" || !row.cookie && (a.KeyKnown != "yes" || a.Honest != "yes" || a.Old != "lives") {
				t.Errorf("the access token: %+v", a)
			}
		})
	}
}

// Every presentation of every token is counted where it arrives.
func TestEachTokenIsPresentedAsOftenAsTheStepSays(t *testing.T) {
	w := newWorld(t, authtest.ASConfig{})
	c := w.config(3)
	examine(t, w, c)
	// Session 1: the first one, its successor twice, and the newest. The others:
	// once, and their successors.
	for i, want := range []int{1, 1, 1} {
		if n := w.PresentationsOf(c.Sessions[i]); n != want {
			t.Errorf("the token of session %d was presented %d times", i+1, n)
		}
	}
	if n := w.Counts(); n.Reuses != 1 || n.Refreshes != 2+1+2 {
		t.Errorf("%+v", n)
	}
}

func TestFewerSessionsTellLess(t *testing.T) {
	for n, want := range []struct{ presentations, skipped int }{{0, 3}, {4, 2}, {6, 1}, {8, 0}, {8, 1}} {
		w := newWorld(t, authtest.ASConfig{})
		c := w.config(n)
		d, r := examine(t, w, c)
		if r.Spent.Presentations != want.presentations || len(d.Plan().Skipped) != want.skipped {
			t.Errorf("%d sessions: %d presentations, skipped: %v", n, r.Spent.Presentations, d.Plan().Skipped)
		}
		if n == 4 && (w.PresentationsOf(c.Sessions[3]) != 0 || !w.Alive(c.Sessions[3])) {
			t.Error("a fourth session was not left alone")
		}
	}
}

// What it tells of the client is what the server demands.
func TestClientAuthentication(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const secret = "s3cret +/:%&=?~"
	for want, auth := range map[string]authtest.ClientAuth{
		"client_secret_basic": authtest.ClientSecretBasic, "client_secret_post": authtest.ClientSecretPost,
		"private_key_jwt": authtest.PrivateKeyJWT, "none": authtest.NoClientAuth,
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, authtest.ASConfig{ClientAuth: auth, ClientSecret: secret, ClientKey: key.Public()})
			c := w.config(3)
			c.Secret, c.Key, c.Alg = secret, key, "ES256"
			_, r := examine(t, w, c)
			if r.Client.Used != want || r.Refresh.Family != "dies" {
				t.Errorf("used %s: %+v", r.Client.Used, r.Client.Tried)
			}
			for _, tried := range r.Client.Tried {
				works := map[bool]string{true: "yes", false: "no"}[tried.Method == want && (tried.Audience == "" || tried.Audience == w.TokenURL())]
				if tried.Works != works {
					t.Errorf("%+v", tried)
				}
			}
			if said := strings.Contains(r.Profile, "AuthMethod"); said != (want == "client_secret_post") {
				t.Error(r.Profile)
			}
			// Which is what the zero Audience stands for.
			if n := strings.Count(r.Profile, w.TokenURL()); want == "private_key_jwt" && (r.Client.Audience != w.TokenURL() || n != 1) {
				t.Errorf("audience %s, and in the profile:\n%s", r.Client.Audience, r.Profile)
			}
		})
	}
}
