package transport_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/event"
	"github.com/rebearer/rebearer/transport"
	"github.com/rebearer/rebearer/transport/clientassertion"
)

var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%b", "%o", "%e", "%c", "%U"}

// forms are how the bytes of a secret may look when they are printed.
func forms(secret string) []string {
	var numbers []string
	for _, b := range []byte(secret) {
		numbers = append(numbers, fmt.Sprint(b))
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(secret))
	return []string{secret, encoded[:len(encoded)*3/4], fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), strings.Join(numbers, " "), strings.Join(numbers, ", ")}
}

func wantNoSecret(t *testing.T, what, printed string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if strings.Contains(printed, form) {
				t.Errorf("%s holds a secret: %.300s", what, printed)
				return
			}
		}
	}
}

// B75, T-I1, T-I7
func TestNothingThatIsPrintedHoldsASecret(t *testing.T) {
	const access, refresh, secret = "canary-access", "canary-refresh", "canary-secret"
	signer := &clientassertion.Signer{ClientID: "bff", Key: keys(t)["EdDSA"], Alg: "EdDSA"}
	grant := &transport.TokenEndpoint{URL: "https://as.example/", ClientID: "bff", ClientSecret: secret, Assertion: signer.Assertion}
	cookie := &transport.CookieEndpoint{URL: "https://as.example/"}
	coordinator := &tokencache.Coordinator{Refresher: grant, Revoker: grant}
	cache := tokencache.New(coordinator, tokencache.NewToken(tokencache.TokenFields{Access: access, Refresh: refresh}))
	tr := &transport.Transport{Origins: []string{"https://api.example"}}
	req := newRequest(tokencache.NewContext(t.Context(), cache), "GET", "https://api.example/", nil)
	private := string(signer.Key.(ed25519.PrivateKey).Seed())

	for name, v := range map[string]any{
		"TokenEndpoint":             grant,
		"TokenEndpoint by value":    *grant,
		"CookieEndpoint":            cookie,
		"Signer":                    signer,
		"Signer by value":           *signer,
		"Coordinator":               coordinator,
		"Cache":                     cache,
		"Transport":                 tr,
		"context":                   req.Context(),
		"request":                   req,
		"client":                    &http.Client{Transport: tr},
		"a struct around them":      struct{ A, B, C, D, E any }{grant, *grant, signer, coordinator, cache},
		"a struct that hides them":  struct{ a, b, c any }{coordinator, cache, tr}, // fmt calls no method of these
		"a slice":                   []any{grant, *grant, *signer, cache},
		"a map":                     map[string]any{"x": grant, "y": *signer, "z": cache},
		"an interface":              []tokencache.Refresher{grant, cookie},
		"a pointer to a pointer":    &grant,
		"an endpoint in a Revoker":  struct{ tokencache.Revoker }{grant},
		"a StepUpError":             &tokencache.StepUpError{Code: "insufficient_scope"},
		"errors of a configuration": []error{transport.ErrInsecure},
	} {
		t.Run(name, func(t *testing.T) {
			for _, verb := range verbs {
				wantNoSecret(t, verb, fmt.Sprintf(verb, v), access, refresh, secret, private)
			}
			for format, printed := range logged(func(log *slog.Logger) { log.Info("x", "v", v, slog.Group("g", "v", v)) }) {
				wantNoSecret(t, format, printed, access, refresh, secret, private)
			}
			if encoded, err := json.Marshal(v); err == nil {
				wantNoSecret(t, "JSON", string(encoded), access, refresh, secret, private)
			}
		})
	}
}

// logged returns what f logs, as text and as JSON.
func logged(f func(*slog.Logger)) map[string]string {
	var text, js bytes.Buffer
	debug := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
	f(slog.New(slog.NewTextHandler(&text, debug)))
	f(slog.New(slog.NewJSONHandler(&js, debug)))
	return map[string]string{"text": text.String(), "JSON": js.String()}
}

// B75, T-I2: all that a full run logs, and every error in it.
func TestAFullRunPrintsNoToken(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		var mu sync.Mutex
		var printed bytes.Buffer
		note := func(v any) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(&printed, "%v\n%+v\n%#v\n", v, v, v)
		}
		var secrets []string
		remember := func(token tokencache.Token) {
			secrets = append(secrets, token.Access(), token.Refresh(), token.Access()[len(token.Access())-20:])
		}
		log := slog.New(slog.NewTextHandler(&locked{mu: &mu, w: &printed}, &slog.HandlerOptions{Level: slog.LevelDebug}))
		faults := []authtest.Fault{
			nil, authtest.Cut, authtest.CutBody, authtest.Truncate, authtest.HTML, authtest.Empty, authtest.Huge, authtest.Hang,
			authtest.RetryAfter(429, "0"), authtest.Answer(500, nil, ""), authtest.Answer(404, nil, ""), authtest.Redirect("/x"), echoForm,
		}
		for _, fault := range faults {
			w := newWorld(t, s, authtest.ASConfig{})
			w.coordinator.Log, w.coordinator.Timeout = log, 100*time.Millisecond
			w.coordinator.Observe = func(_ context.Context, e event.Event) { note(e) }
			ctx, cache := w.signIn("ann")
			remember(cache.Token())
			w.as.RevokeAccess()
			w.as.FailNext(1, fault)
			a, err := try(w.client, newRequest(ctx, "POST", w.api.URL+"/echo?x=y", strings.NewReader("body")))
			remember(cache.Token())
			note(a.Response)
			note(a.Request)
			note(err)
			note(cache)
			note(cache.Err())
			note(w.coordinator)
			note(w.coordinator.Revoke(context.Background(), cache.Token()))
			note(w.transport)
		}
		if printed.Len() < 10_000 || !strings.Contains(printed.String(), "session ended") || !strings.Contains(printed.String(), "Kind:replay") {
			t.Fatalf("hardly anything was printed: %d bytes", printed.Len())
		}
		wantNoSecret(t, "the run", printed.String(), secrets...)
	})
}

// echoForm is a server that quotes what it was sent, in every place.
func echoForm(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	token := r.Form.Get("refresh_token")
	if c, err := r.Cookie("refreshToken"); err == nil {
		token = c.Value
	}
	w.Header().Set("Retry-After", token)
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(map[string]string{"error": token, "error_description": "no such token: " + token, "error_uri": token})
}

type locked struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// T-A9: url.Error prints the URL, so that no token is ever in one.
func TestNoTokenIsInAURL(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		var uris []string
		var mu sync.Mutex
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			uris = append(uris, r.RequestURI)
			echo(w, r)
		}))
		defer server.Close()
		tr := &transport.Transport{Base: server.Client().Transport, Origins: []string{server.URL}}
		coordinator := &tokencache.Coordinator{Refresher: s.at(server.URL+"/token", server.Client().Transport)}
		cache := tokencache.New(coordinator, tokencache.NewToken(tokencache.TokenFields{Access: "access-0", Refresh: "canary"}))
		ctx := tokencache.NewContext(t.Context(), cache)
		wantStatus(t, call(t, &http.Client{Transport: tr}, newRequest(ctx, "GET", server.URL+"/users", nil)), 401)
		equal(t, "URLs", strings.Join(uris, " "), "/users /token")
	})
}
