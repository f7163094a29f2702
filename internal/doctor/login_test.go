package doctor_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/doctor"
)

// signsIn has the issuer sign everybody in at once, as the code flow has it.
func (w *world) signsIn(t *testing.T, more url.Values) {
	asked := map[string]url.Values{} // by code
	w.metadata["authorization_endpoint"] = w.Issuer + "/authorize"
	w.mux.HandleFunc("GET /authorize", func(rw http.ResponseWriter, r *http.Request) {
		q, code := r.URL.Query(), "code-"+r.URL.Query().Get("state")
		asked[code] = q
		back := url.Values{"state": q["state"], "code": {code}}
		for name, values := range more {
			back[name] = values
		}
		http.Redirect(rw, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
	})
	as := w.TokenURL()
	w.metadata["token_endpoint"] = w.Issuer + "/token"
	w.mux.HandleFunc("POST /token", func(rw http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		if r.PostForm.Get("grant_type") != "authorization_code" {
			resp, err := http.PostForm(as, r.PostForm)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			defer resp.Body.Close()
			rw.WriteHeader(resp.StatusCode)
			io.Copy(rw, resp.Body)
			return
		}
		q := asked[r.PostForm.Get("code")]
		delete(asked, r.PostForm.Get("code"))
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if q == nil || q.Get("code_challenge_method") != "S256" || base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") ||
			r.PostForm.Get("redirect_uri") != q.Get("redirect_uri") || r.PostForm.Get("client_id") != "bff" {
			t.Errorf("the code was redeemed with %v", r.PostForm)
			rw.WriteHeader(400)
			return
		}
		tok := w.SignIn("alice")
		w.issued = append(w.issued, tok.Access(), tok.Refresh(), r.PostForm.Get("code"), r.PostForm.Get("code_verifier"))
		json.NewEncoder(rw).Encode(map[string]any{"access_token": tok.Access(), "refresh_token": tok.Refresh(), "token_type": "Bearer"})
	})
}

var loopback = regexp.MustCompile(`http://127\.0\.0\.1:\d+/`)

// browse is a browser that is shown a URL, as soon as there is one, as often as
// that is wanted.
func browse(c *doctor.Config) <-chan string {
	pages := make(chan string, c.Logins)
	c.Say = func(line string) {
		to := loopback.FindString(line)
		if to == "" {
			return
		}
		go func() {
			browser := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
			for range c.Logins {
				resp, err := browser.Get(to)
				if err != nil {
					pages <- err.Error()
					return
				}
				page, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				pages <- string(page)
			}
		}()
	}
	return pages
}

func TestSigningIn(t *testing.T) {
	w := newWorld(t, authtest.ASConfig{})
	w.signsIn(t, nil)
	c := w.config(0)
	c.Logins = 3
	pages := browse(&c)
	d, r := examine(t, w, c)
	for _, want := range []string{"1 of 3", "2 of 3", "can be closed"} {
		if page := <-pages; !strings.Contains(page, want) {
			t.Error(page)
		}
	}
	if r.Refresh.Family != "dies" || r.Refresh.Others != "lives" || r.Revocation.Works != "yes" || r.Spent.Presentations != 8 {
		t.Error(d.Text())
	}
}

func TestASignInThatFails(t *testing.T) {
	for name, row := range map[string]struct {
		more url.Values
		want string
	}{
		"the answer of another server": {url.Values{"iss": {"https://other.example"}}, "another server's"},
		"a refusal":                    {url.Values{"code": {""}, "error": {"access_denied"}}, "access_denied"},
		"a state that is not ours":     {url.Values{"state": {"made-up"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, authtest.ASConfig{})
			w.signsIn(t, row.more)
			c := w.config(0)
			c.Logins = 1
			pages := browse(&c)
			d, err := doctor.New(c)
			if err == nil {
				err = d.Look(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			if name == "a state that is not ours" { // the browser is told, and whoever waits goes on waiting
				go d.Examine(t.Context())
				if page := <-pages; !strings.Contains(page, "began elsewhere") {
					t.Error(page)
				}
				return
			}
			if err := d.Examine(t.Context()); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Error(err)
			}
			<-pages
		})
	}
}

// A token endpoint that quotes the code in its error.
func TestASignInThatFailsPrintsNoCode(t *testing.T) {
	w := newWorld(t, authtest.ASConfig{})
	w.signsIn(t, nil)
	w.metadata["token_endpoint"] = w.Issuer + "/quoting"
	code := ""
	w.mux.HandleFunc("POST /quoting", func(rw http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		if r.PostForm.Has("code") {
			code = r.PostForm.Get("code")
			authtest.Answer(400, nil, `{"error":"`+code+`"}`)(rw, r, nil)
			return
		}
		authtest.Answer(400, nil, `{"error":"invalid_grant"}`)(rw, r, nil)
	})
	var out, errs bytes.Buffer
	var pages <-chan string
	p := doctor.Program{
		In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: func(string) string { return "" },
		Change: func(c *doctor.Config) { pages = browse(c) },
	}
	ended := p.Run(t.Context(), []string{"-yes", "-issuer", w.Issuer, "-client-id", "bff", "-login", "1"})
	if said := out.String() + errs.String(); ended != 1 || code == "" || strings.Contains(said, code) || !strings.Contains(said, "[secret]") {
		t.Errorf("%d\n%s", ended, said)
	}
	<-pages
}
