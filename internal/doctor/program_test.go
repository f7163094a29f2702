package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/doctor"
)

// Without -yes it says what it would cost, and costs nothing.
func TestNothingIsSentUnlessAgreedTo(t *testing.T) {
	w := newWorld(t, authtest.ASConfig{Alg: "ES256"})
	tokens := w.sessions(3)
	for _, args := range [][]string{nil, {"-json"}} {
		args = append(args, "-issuer", w.Issuer, "-client-id", "bff", "-refresh-token-file", "-")
		code, out, errs := program(t, w, strings.Join(tokens, "\n"), map[string]string{"REBEARER_CLIENT_SECRET": "a-secret"}, args...)
		if code != 0 || !strings.Contains(out, "ends session 1") || !strings.Contains(out, "ES256") || errs != "" {
			t.Errorf("%d\n%s\n%s", code, out, errs)
		}
		w.hidesSecrets(t, "output", out, doctor.Config{Secret: "a-secret", Sessions: tokens})
	}
	if n := w.Counts(); n != (authtest.Counts{}) {
		t.Errorf("%+v", n)
	}
	for _, token := range tokens {
		if !w.Alive(token) {
			t.Error("a session has ended")
		}
	}
}

func TestThePlanComesFirst(t *testing.T) {
	w := newWorld(t, authtest.ASConfig{})
	first := ""
	tokens := w.sessions(1)
	var d *doctor.Doctor
	w.Fail(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if first == "" {
			first = "the plan was there"
			if d.Plan().Most != 6+2*4 {
				first = d.Plan().String()
			}
		}
		next.ServeHTTP(rw, r)
	})
	c := w.config(0)
	c.Sessions = tokens
	d, err := doctor.New(c)
	if err != nil {
		t.Fatal(err)
	}
	d.Look(t.Context())
	d.Examine(t.Context())
	if first != "the plan was there" {
		t.Error(first)
	}
	code, out, _ := program(t, w, tokens[0], nil, "-yes", "-issuer", w.Issuer, "-client-id", "bff", "-refresh-token-file", "-")
	if plan, report := strings.Index(out, "Plan:"), strings.Index(out, "Warnings"); code != 0 || plan != 0 || report < plan {
		t.Errorf("%d\n%s", code, out)
	}
}

// A server that quotes what it was asked, in every way that there is.
func TestNoSecretIsPrinted(t *testing.T) {
	w := newWorld(t, authtest.ASConfig{ClientAuth: authtest.ClientSecretPost, ClientSecret: "its-client-secret"})
	w.Fail(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		if rec.Code >= 400 {
			quote, _ := json.Marshal(map[string]string{
				"error": r.PostForm.Get("refresh_token"), "error_description": r.PostForm.Encode(),
			})
			authtest.Answer(400, nil, string(quote))(rw, r, next)
			return
		}
		authtest.Answer(rec.Code, rec.Header(), rec.Body.String())(rw, r, next)
	})
	w.FailRevoke(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		authtest.Answer(400, nil, `{"error":"`+r.PostForm.Get("client_secret")+`"}`)(rw, r, next)
	})
	for _, form := range []string{"-json", "-json=false"} {
		c := w.config(3)
		c.Secret = "its-client-secret"
		code, out, errs := program(t, w, strings.Join(c.Sessions, "\r\n"), map[string]string{"REBEARER_CLIENT_SECRET": c.Secret},
			form, "-yes", "-issuer", w.Issuer, "-client-id", "bff", "-refresh-token-file", "-", "-auth-method", "client_secret_post")
		if code != 0 || !strings.Contains(out, "[secret]") {
			t.Errorf("%d: nothing was quoted:\n%s", code, out+errs)
		}
		w.hidesSecrets(t, "output", out+errs, c)
	}
	if len(w.issued) < 20 {
		t.Errorf("only %d tokens are known", len(w.issued))
	}
}

func TestWhatIsAskedWrongly(t *testing.T) {
	w := newWorld(t, authtest.ASConfig{})
	token := w.sessions(1)[0]
	for name, row := range map[string]struct {
		stdin string
		args  []string
	}{
		"nobody to examine":          {"", nil},
		"a secret as an argument":    {"", []string{"-issuer", w.Issuer, token}},
		"a flag for the secret":      {"", []string{"-issuer", w.Issuer, "-client-secret=" + token}},
		"plain http":                 {"", []string{"-issuer", "http://as.example.com"}},
		"plain http to an endpoint":  {"", []string{"-token-endpoint", "http://as.example.com/token"}},
		"a URL with a user":          {"", []string{"-issuer", "https://user:" + token + "@as.example.com"}},
		"the same session twice":     {token + "\n" + token, []string{"-issuer", w.Issuer, "-client-id", "bff", "-refresh-token-file", "-"}},
		"no client for the token":    {token, []string{"-issuer", w.Issuer, "-refresh-token-file", "-"}},
		"two files that are stdin":   {token, []string{"-issuer", w.Issuer, "-refresh-token-file", "-", "-client-secret-file", "-"}},
		"a file that is not there":   {"", []string{"-issuer", w.Issuer, "-client-secret-file", filepath.Join(t.TempDir(), "none")}},
		"a method without its key":   {"", []string{"-issuer", w.Issuer, "-auth-method", "private_key_jwt"}},
		"a method that is none":      {"", []string{"-issuer", w.Issuer, "-auth-method", "magic"}},
		"a key that is no PEM":       {"", []string{"-issuer", w.Issuer, "-client-key-file", os.DevNull}},
		"a sign-in without metadata": {"", []string{"-token-endpoint", w.TokenURL(), "-client-id", "bff", "-login", "1"}},
		"cookies without their URL":  {"", []string{"-issuer", w.Issuer, "-cookie"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := program(t, nil, row.stdin, nil, append(row.args, "-yes")...)
			if code != 2 || out != "" || errs == "" || strings.Contains(errs, token) {
				t.Errorf("%d, %q, %q", code, out, errs)
			}
		})
	}
	if n := w.Counts(); n != (authtest.Counts{}) {
		t.Errorf("%+v", n)
	}
}

func TestWhatCannotBeDone(t *testing.T) {
	w := newWorld(t, authtest.ASConfig{})
	away := httptest.NewServer(nil)
	away.Close()
	w.metadata["token_endpoint"] = away.URL
	token := w.sessions(1)[0]
	args := []string{"-client-id", "bff", "-refresh-token-file", "-", "-yes"}
	if code, out, errs := program(t, w, token, nil, append(args, "-issuer", w.Issuer)...); code != 1 || !strings.Contains(errs, "cannot be reached") || !strings.Contains(out, "0 presentations of your tokens, 0 made-up ones") {
		t.Errorf("no token endpoint: %d, %s, %s", code, out, errs)
	}
	if code, _, errs := program(t, w, token, nil, append(args, "-issuer", away.URL)...); code != 1 || !strings.Contains(errs, "no metadata") {
		t.Errorf("no issuer: %d, %s", code, errs)
	}
	w.metadata["token_endpoint"] = "http://as.example.com/token"
	if code, _, errs := program(t, w, token, nil, append(args, "-issuer", w.Issuer)...); code != 1 || !strings.Contains(errs, "no token endpoint") {
		t.Errorf("metadata with plain http: %d, %s", code, errs)
	}
	w.metadata["token_endpoint"] = w.TokenURL()
	if code, out, _ := program(t, w, "rt_that_was_never_one", nil, append(args, "-issuer", w.Issuer)...); code != 0 || !strings.Contains(out, "refused the first time (400 invalid_grant)") {
		t.Errorf("a token that is dead: %d, %s", code, out)
	}
	if !w.Alive(token) {
		t.Error("the session has ended")
	}
}

func TestMetadataOfAnother(t *testing.T) {
	w := newWorld(t, authtest.ASConfig{})
	w.metadata["issuer"] = "https://other.example"
	if _, r := examine(t, w, w.config(1)); !warned(r, `of the issuer "https://other.example"`) {
		t.Errorf("%q", r.Warnings)
	}
}

// The keys and secrets that come from files.
func TestFiles(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, authtest.ASConfig{ClientAuth: authtest.PrivateKeyJWT, ClientKey: key.Public()})
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	args := []string{
		"-issuer", w.Issuer, "-client-id", "bff", "-yes", "-json",
		"-client-key-file", file("key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))),
		"-client-secret-file", file("secret", "a-secret\n"), "-refresh-token-file", file("tokens", strings.Join(w.sessions(2), "\n\n")+"\n"),
	}
	_, out, errs := program(t, w, "", nil, args...)
	var got struct {
		Report struct {
			Client doctor.Client
			Spent  doctor.Spent
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	if got.Report.Client.Used != "private_key_jwt" || got.Report.Spent.Presentations != 4+2 || strings.Contains(out, "a-secret") {
		t.Errorf("%+v", got.Report)
	}
	if !slices.ContainsFunc(got.Report.Client.Tried, func(t doctor.Tried) bool { return t.Method == "client_secret_basic" }) {
		t.Error("the secret was not tried")
	}
}
