package integration

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/doctor"
)

// diagnosis is what rebearer-doctor prints with -json, as far as it matters here.
type diagnosis struct {
	Plan struct {
		Least int `json:"presentations_at_least"`
		Most  int `json:"presentations_at_most"`
	}
	Report struct {
		Client struct {
			Used, Audience string
			NotTold        bool `json:"wrong_client_reads_like_a_dead_token"`
			Tried          []struct{ Method, Audience, Works string }
		}
		DPoP struct {
			Advertised []string
			Nonce      string `json:"nonce_demanded"`
			Used       bool
		}
		Access struct {
			Kind, Alg, Typ string
			Published      string `json:"key_published"`
			Honest         string `json:"expires_in_honest"`
			Old            string `json:"old_after_refresh"`
		} `json:"access_token"`
		Refresh struct {
			Rotates   string
			LeftOut   bool    `json:"answer_leaves_it_out"`
			SecondUse string  `json:"second_use"`
			Grace     float64 `json:"grace_at_least_seconds"`
			Over      float64 `json:"grace_over_seconds"`
			Old       string
			Family    string `json:"newest_after_old"`
			Others    string `json:"other_sessions_of_the_user"`
		} `json:"refresh_token"`
		Revocation struct {
			Works   string
			Refresh string `json:"refresh_token"`
			Access  string `json:"access_token"`
		}
		Spent    struct{ Presentations, Revocations int }
		Warnings []string
		Profile  string
	}
}

// examine runs the program on refresh tokens that come in on its stdin.
func examine(t *testing.T, env map[string]string, tokens []string, args ...string) (d diagnosis) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	program := doctor.Program{
		In: strings.NewReader(strings.Join(tokens, "\n")), Out: &stdout, Err: &stderr,
		Getenv: func(name string) string { return env[name] },
	}
	args = append([]string{"-json", "-yes", "-refresh-token-file", "-"}, args...)
	if code := program.Run(t.Context(), args); code != 0 {
		t.Fatalf("rebearer-doctor ended with %d\n%s\n%s", code, &stderr, &stdout)
	}
	for _, token := range tokens {
		if strings.Contains(stdout.String()+stderr.String(), token) {
			t.Error("a token is printed")
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &d); err != nil {
		t.Fatalf("%v\n%s", err, &stdout)
	}
	t.Logf("%s", &stdout)
	return d
}

// A tokenCounter is a reverse proxy to a token endpoint, for a client that is told its
// URL. The doctor's own count has to be the same.
type tokenCounter struct {
	*httptest.Server
	mu    sync.Mutex
	shown int
}

func newTokenCounter(t *testing.T, tokenURL string) *tokenCounter {
	t.Helper()
	to, err := url.Parse(tokenURL)
	must(t, err)
	c := &tokenCounter{}
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{DisableKeepAlives: true},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL, r.Out.Host = to, to.Host
		},
	}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		form, _ := url.ParseQuery(string(body))
		token := form.Get("refresh_token")
		if cookie, err := r.Cookie("refreshToken"); err == nil {
			token = cookie.Value
		}
		c.mu.Lock()
		if token != "" && !strings.HasPrefix(token, "rebearer-doctor-made-this-up-") {
			c.shown++
		}
		c.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Server.Close)
	return c
}

// rowOf names the row of a server in docs/servers.md.
var rowOf = map[string]string{
	"go-oidc": "luikyv/go-oidc", "oidc-provider": "panva/oidc-provider", "fosite": "ory/fosite", "zitadel": "zitadel/oidc",
	"better-auth": "better-auth ", "better-auth interval": "`refreshTokenReuseInterval`",
	"hydra": "ory/hydra", "hydra grace": "`rotation_grace_period`",
	"nest strict": "NestJS", "nest grace": "grace of one generation", "nest none": "no rotation",
}

// A described server is one as docs/servers.md has it.
type described struct{ clients, access, old, family, oldAccess string }

// description reads the table «What each does».
func description(t *testing.T, s server) (row described) {
	t.Helper()
	page, err := os.ReadFile("../docs/servers.md")
	must(t, err)
	_, section, _ := strings.Cut(string(page), "\n## What each does\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 7 {
			continue
		}
		for i, cell := range cells {
			cells[i] = strings.TrimSpace(cell)
		}
		above := row
		row = described{cells[2], cells[3], cells[4], cells[5], cells[6]}
		for cell, before := range map[*string]string{&row.clients: above.clients, &row.access: above.access, &row.oldAccess: above.oldAccess} {
			if *cell == "as above" || *cell == "" {
				*cell = before
			}
		}
		if name := rowOf[s.name]; name != "" && strings.Contains(cells[0], name) {
			return row
		}
	}
	t.Fatalf("docs/servers.md has no row for %s", s.name)
	return row
}

// gets is what an old refresh token gets in the doctor's words: the one before
// the newest, and an older one.
func (row described) gets() (second, old string) {
	switch text := strings.ReplaceAll(row.old, "`", ""); text {
	case "–":
		return "another access token", "not tried"
	case "200, the same pair again":
		return "the same pair again", "the same pair again"
	case "200, yet another pair":
		return "another pair", "another pair"
	default:
		if _, older, grace := strings.Cut(text, "the one before: 200, another successor; older: "); grace {
			return "another pair", older
		}
		return "refused", strings.Replace(text, ", error ", " ", 1)
	}
}

// check compares what was found with what the docs say.
func (d diagnosis) check(t *testing.T, docs described) {
	t.Helper()
	r := d.Report
	fails := func(what, found, said string) {
		t.Errorf("%s: found %s, and docs/servers.md says: %s", what, found, said)
	}
	if second, old := docs.gets(); r.Refresh.SecondUse != second || !strings.HasPrefix(r.Refresh.Old+" ", old+" ") {
		fails("an old refresh token", r.Refresh.SecondUse+", then "+r.Refresh.Old, docs.old)
	}
	if rotates := docs.old != "–"; (r.Refresh.Rotates == "yes") != rotates {
		fails("rotation", r.Refresh.Rotates, docs.old)
	}
	family, _, _ := strings.Cut(docs.family, ",")
	if family != "–" && r.Refresh.Family != family {
		fails("the newest token", r.Refresh.Family, docs.family)
	}
	if others := strings.Contains(docs.family, "others"); (r.Refresh.Others == "dies") != others {
		fails("the user's other sessions", r.Refresh.Others, docs.family)
	}
	if ends := strings.HasPrefix(docs.oldAccess, "ends"); r.Access.Old != map[bool]string{true: "dies", false: "lives"}[ends] {
		fails("the old access token", r.Access.Old, docs.oldAccess)
	}
	kind := r.Access.Kind + ", " + r.Access.Alg
	if r.Access.Kind == "JWE" {
		kind = "five-part JWE"
	}
	if kind != docs.access {
		fails("the access token", kind, docs.access)
	}
}

// What the doctor finds at each server is what docs/servers.md says of it.
func TestTheDoctorFindsWhatTheDocsSay(t *testing.T) {
	t.Parallel()
	each(t, oauth, time.Minute, func(t *testing.T, s server, run running) {
		as, docs := run.(*authServer), description(t, s)
		t.Run("all of it", func(t *testing.T) {
			tokens := as.sessionsOf(t, "bff", 3)
			c := newTokenCounter(t, as.TokenURL)
			d := examine(t, as.secrets(), tokens, "-issuer", as.Issuer, "-token-endpoint", c.URL, "-client-id", "bff", "-grace-limit", "2s")
			d.check(t, docs)
			r := d.Report
			if c.shown != r.Spent.Presentations || c.shown < d.Plan.Least || c.shown > d.Plan.Most {
				t.Errorf("%d to %d presentations were planned, %d arrived and %d are reported", d.Plan.Least, d.Plan.Most, c.shown, r.Spent.Presentations)
			}
			if s.alg != "" && (r.Access.Typ != s.typ || r.Access.Published != "yes" || r.Access.Honest != "yes") {
				t.Errorf("%+v", r.Access)
			}
			if r.Revocation.Works != "yes" || r.Revocation.Refresh != "dies" {
				t.Errorf("%+v", r.Revocation)
			}
			dead := "nothing"
			if s.dead != nil {
				dead = fmt.Sprintf("%#v", s.dead)
			}
			if strings.Contains(r.Profile, "Dead:") != (s.dead != nil) || s.dead != nil && !strings.Contains(r.Profile, dead) {
				t.Errorf("Dead has to say %s:\n%s", dead, r.Profile)
			}
		})
		for _, client := range s.clients {
			t.Run(methods[client], func(t *testing.T) { as.examineClient(t, client, docs) })
		}
	})
}

// sessionsOf are refresh tokens of one user, each of a sign-in of its own.
func (as *authServer) sessionsOf(t *testing.T, client string, n int) (tokens []string) {
	t.Helper()
	user := newUser()
	for range n {
		tokens = append(tokens, as.signInAs(t, client, user).Refresh)
	}
	return tokens
}

func (as *authServer) secrets() map[string]string {
	return map[string]string{"REBEARER_CLIENT_SECRET": as.secret}
}

// examineClient is about how a client authenticates.
func (as *authServer) examineClient(t *testing.T, client string, docs described) {
	args, env := []string{"-issuer", as.Issuer, "-client-id", client, "-grace-limit", "0"}, map[string]string{}
	switch methods[client] {
	case "private_key_jwt":
		raw, err := x509.MarshalPKCS8PrivateKey(as.key)
		must(t, err)
		file := filepath.Join(t.TempDir(), "key")
		must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
		args = append(args, "-client-key-file", file, "-client-key-id", "client")
	case "client_secret_basic", "client_secret_post":
		// Some servers look at a made-up token first, so that a method has to be said.
		env, args = as.secrets(), append(args, "-auth-method", methods[client])
	}
	d := examine(t, env, as.sessionsOf(t, client, 2), args...)
	c := d.Report.Client
	if name := strings.TrimPrefix(methods[client], "client_secret_"); c.Used != methods[client] || d.Report.Refresh.Rotates != "yes" || !strings.Contains(docs.clients, name) {
		t.Errorf("used %s, rotates: %s, and docs/servers.md says: %s", c.Used, d.Report.Refresh.Rotates, docs.clients)
	}
	jwt, audience := methods[client] == "private_key_jwt", as.Issuer
	if strings.HasPrefix(as.name, "hydra") {
		audience = as.TokenURL
	}
	if jwt && c.Audience != audience {
		t.Errorf("the audience is %s", c.Audience)
	}
	if c.NotTold != (jwt && as.blamesGrant) {
		t.Errorf("a wrong client reads like a dead token: %t", c.NotTold)
	}
}

// A backend of the cookie style.
func TestTheDoctorFindsWhatTheDocsSayOfCookies(t *testing.T) {
	t.Parallel()
	each(t, func(s server) bool { return !oauth(s) }, time.Minute, func(t *testing.T, s server, run running) {
		b := run.(*backend)
		c := newTokenCounter(t, b.URL+"/auth/restore-token")
		var tokens []string
		for range 3 {
			tokens = append(tokens, b.signIn(t).Refresh)
		}
		d := examine(t, nil, tokens, "-cookie", "-token-endpoint", c.URL, "-revocation-endpoint", b.URL+"/auth/logout", "-grace-limit", "2s")
		d.check(t, description(t, s))
		if r := d.Report; c.shown != r.Spent.Presentations || r.Revocation.Works != "yes" || strings.Contains(r.Profile, "Dead") {
			t.Errorf("%d arrived, %d are reported; %+v\n%s", c.shown, r.Spent.Presentations, r.Revocation, r.Profile)
		}
	})
}

// How long a second use is answered, to the delay that was tried.
func TestTheDoctorMeasuresAGrace(t *testing.T) {
	t.Parallel()
	for _, s := range servers {
		if s.name != "nest grace" {
			continue
		}
		b := s.start(t, s, time.Minute, "GRACE=2000").(*backend)
		d := examine(t, nil, []string{b.signIn(t).Refresh}, "-cookie", "-token-endpoint", b.URL+"/auth/restore-token", "-grace-limit", "10s")
		if r := d.Report.Refresh; r.Grace != 1 || r.Over != 3 || r.Family != "dies" {
			t.Errorf("%+v", r)
		}
	}
}

// Somebody signs in by a browser, with forms and all, and the tokens are bound.
func TestTheDoctorSignsInWithDPoP(t *testing.T) {
	t.Parallel()
	const name = "oidc-provider"
	as, registered := start(t, name, time.Minute), []map[string]any{{
		"client_id": "doctor", "token_endpoint_auth_method": "none", "application_type": "native",
		"redirect_uris": []string{"http://127.0.0.1/callback"}, "response_types": []string{"code"},
		"grant_types": []string{"authorization_code", "refresh_token"},
	}}
	list, err := json.Marshal(registered)
	must(t, err)
	as.Issuer = launch(t, as.server, time.Minute, "DPOP_NONCE=1", "CLIENTS="+string(list)).Issuer
	lines, stderr := io.Pipe()
	page := make(chan string, 1)
	go func() { page <- signInWhereItSays(lines) }()
	var stdout bytes.Buffer
	code := doctor.Program{In: strings.NewReader(""), Out: &stdout, Err: stderr, Getenv: func(string) string { return "" }}.Run(t.Context(), []string{
		"-json", "-yes", "-issuer", as.Issuer, "-client-id", "doctor", "-login", "3", "-dpop", "-grace-limit", "0",
		"-scope", scope, "-resource", audience,
	})
	stderr.Close()
	if last := <-page; code != 0 || !strings.Contains(last, "can be closed") {
		t.Fatalf("%d: the browser ended with\n%s", code, last)
	}
	var d diagnosis
	must(t, json.Unmarshal(stdout.Bytes(), &d))
	r := d.Report
	if !r.DPoP.Used || r.DPoP.Nonce != "yes" || r.Refresh.Family != "dies" || r.Refresh.Others != "lives" || r.Revocation.Works != "yes" || r.Spent.Presentations != 8 {
		t.Errorf("%s", &stdout)
	}
}

// signInWhereItSays signs in at the URL among the lines, three times, each in a
// browser of its own.
func signInWhereItSays(lines io.Reader) (page string) {
	scan := bufio.NewScanner(lines)
	for scan.Scan() && page == "" {
		if to := strings.TrimSpace(scan.Text()); strings.HasPrefix(to, "http://127.0.0.1:") {
			for range 3 {
				page = fillIn(to)
			}
		}
	}
	io.Copy(io.Discard, lines)
	return page
}

// fillIn fills in each form that it meets, until there is none.
func fillIn(to string) string {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err.Error()
	}
	browser := &http.Client{Jar: jar, Transport: direct.Transport, Timeout: direct.Timeout}
	resp, err := browser.Get(to)
	for range 4 { // login and consent are two
		if err != nil {
			return err.Error()
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		action, fields := form(string(text), "alice")
		next, bad := resp.Request.URL.Parse(action)
		if action == "" || err != nil || bad != nil {
			return string(text)
		}
		if resp, err = browser.PostForm(next.String(), fields); err != nil {
			return err.Error()
		}
	}
	return "more forms than a login has"
}
