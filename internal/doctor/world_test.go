package doctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/doctor"
	"github.com/rebearer/rebearer/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// A world is an authorization server, and in front of it the metadata that it
// does not publish. It knows every token that was ever issued.
type world struct {
	*authtest.AS
	Issuer   string
	metadata map[string]any
	mux      *http.ServeMux // of the issuer

	mu     sync.Mutex
	issued []string
}

func newWorld(t *testing.T, config authtest.ASConfig) *world {
	t.Helper()
	w := &world{AS: authtest.NewAS(config), mux: http.NewServeMux()}
	t.Cleanup(w.AS.Close)
	front := httptest.NewServer(w.mux)
	t.Cleanup(front.Close)
	w.Issuer = front.URL
	w.metadata = map[string]any{
		"issuer": w.Issuer, "token_endpoint": w.TokenURL(), "revocation_endpoint": w.RevokeURL(),
		"introspection_endpoint": w.IntrospectURL(), "jwks_uri": w.JWKSURL(),
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "none"},
	}
	w.mux.HandleFunc("GET /.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		json.NewEncoder(rw).Encode(w.metadata)
	})
	w.Mutate(nil)
	return w
}

// Mutate is that of the AS, and notes what is issued.
func (w *world) Mutate(f func(map[string]any)) {
	w.AS.Mutate(func(answer map[string]any) {
		w.mu.Lock()
		for _, name := range []string{"access_token", "refresh_token", "accessToken"} {
			if s, ok := answer[name].(string); ok {
				w.issued = append(w.issued, s)
			}
		}
		w.mu.Unlock()
		if f != nil {
			f(answer)
		}
	})
}

// sessions signs one user in several times.
func (w *world) sessions(n int) (refresh []string) {
	for range n {
		t := w.SignIn("alice")
		refresh = append(refresh, t.Refresh())
		w.issued = append(w.issued, t.Refresh(), t.Access())
	}
	return refresh
}

// config is that of a confidential client whose three sessions are spent. Time
// passes at once, and for the server alone.
func (w *world) config(n int) doctor.Config {
	return doctor.Config{
		Issuer: w.Issuer, ClientID: "bff", Sessions: w.sessions(n), GraceLimit: 20 * time.Second,
		Wait: func(_ context.Context, d time.Duration) error { w.Advance(d); return nil },
	}
}

// cookies is the same in the cookie style.
func (w *world) cookies(n int) doctor.Config {
	c := w.config(n)
	c.Issuer, c.ClientID, c.Cookie = "", "", true
	c.TokenURL, c.RevocationURL = w.RestoreURL(), w.LogoutURL()
	return c
}

// examine does all of it, and checks what is so for everybody: that no more was
// presented than the plan says, and as much as the server has counted.
func examine(t *testing.T, w *world, c doctor.Config) (*doctor.Doctor, doctor.Report) {
	t.Helper()
	d, err := doctor.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	plan := d.Plan()
	if n := w.Counts().Presentations; n != 0 {
		t.Errorf("%d presentations before anybody agreed to any", n)
	}
	if err := d.Examine(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Conclude()
	r, n := d.Report(), w.Counts()
	if n.Presentations != r.Spent.Presentations+r.Spent.MadeUp || n.Revocations != r.Spent.Revocations {
		t.Errorf("the server saw %d presentations and %d revocations, and reported are %+v", n.Presentations, n.Revocations, r.Spent)
	}
	if r.Spent.Presentations < plan.Least || r.Spent.Presentations > plan.Most || r.Spent.MadeUp > plan.MadeUp {
		t.Errorf("planned %d to %d and %d made up, spent %+v", plan.Least, plan.Most, plan.MadeUp, r.Spent)
	}
	for text, what := range map[string]string{d.Text(): "report", d.JSON(plan): "JSON", plan.String(): "plan"} {
		w.hidesSecrets(t, what, text, c)
	}
	return d, r
}

// hidesSecrets looks for every token there ever was, and the client's secret.
func (w *world) hidesSecrets(t *testing.T, what, text string, c doctor.Config) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, secret := range append(append([]string{c.Secret}, w.issued...), c.Sessions...) {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("the %s holds a secret:\n%s", what, text)
			return
		}
	}
}

// program runs the command line.
func program(t *testing.T, w *world, stdin string, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	p := doctor.Program{In: strings.NewReader(stdin), Out: &out, Err: &err, Getenv: func(name string) string { return env[name] }}
	if w != nil {
		p.Change = func(c *doctor.Config) { c.Wait = w.config(0).Wait }
	}
	code = p.Run(t.Context(), args)
	return code, out.String(), err.String()
}

// refusals has the server answer each refusal of a refresh in another way.
func (w *world) refusals(f authtest.Fault) {
	w.Fail(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		if rec.Code >= 400 {
			f(rw, r, next)
			return
		}
		for name, values := range rec.Header() {
			rw.Header()[name] = values
		}
		rw.WriteHeader(rec.Code)
		rw.Write(rec.Body.Bytes())
	})
}

func warned(r doctor.Report, part string) bool {
	return strings.Contains(strings.Join(r.Warnings, "\n"), part)
}
