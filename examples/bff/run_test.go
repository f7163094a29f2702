package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestABadEnvironmentIsExitStatus2(t *testing.T) {
	long := strings.Repeat("s", minSecret)
	for name, env := range map[string]map[string]string{
		"an unknown style":             {"BFF_REFRESH_STYLE": "saml"},
		"an unknown mode":              {"BFF_MODE": "magic"},
		"insecure, perhaps":            {"BFF_INSECURE_COOKIES": "yes"},
		"an address without port":      {"BFF_ADDR": "localhost"},
		"a port that is none":          {"BFF_ADDR": "localhost:99999"},
		"no URL":                       {"BFF_API_URL": "http://[::1"},
		"a URL of no scheme":           {"BFF_API_URL": "api.example.com"},
		"a URL with a user":            {"BFF_API_URL": "https://me:hidden@api.example.com"},
		"a base with a query":          {"BFF_API_URL": "https://api.example.com?x=1"},
		"tokens in plain text":         {"BFF_API_URL": "http://api.example.com"},
		"a bad token endpoint":         {"BFF_API_URL": "https://api.example.com", "BFF_TOKEN_URL": "token"},
		"a bad revocation endpoint":    {"BFF_API_URL": "https://api.example.com", "BFF_REVOKE_URL": "ftp://x/"},
		"tokens for a proxy":           {"BFF_API_URL": "http://api.localhost"},
		"a bad JWKS":                   {"BFF_API_URL": "https://api.example.com", "BFF_JWKS_URL": "http://keys.example.com/"},
		"a short secret":               {"BFF_API_URL": "https://api.example.com", "BFF_JWT_SECRET": "hidden"},
		"a secret and a JWKS":          {"BFF_API_URL": "https://api.example.com", "BFF_JWT_SECRET": long, "BFF_JWKS_URL": "https://keys.example.com/"},
		"a secret of embedded servers": {"BFF_JWT_SECRET": long},
		"a place that is none":         {"BFF_TOKENS": "local storage"},
		"a secret that seals nothing":  {"BFF_SECRET": "hidden" + long},
		"a secret that is short":       {"BFF_TOKENS": "sealed", "BFF_SECRET": "hidden"},
		"a secret of each process":     {"BFF_TOKENS": "sealed", "BFF_REDIS_URL": "redis://localhost"},
		"a crowd of replicas":          {"BFF_REPLICAS": "5"},
		"no replica":                   {"BFF_REPLICAS": "0"},
		"a Redis that is none":         {"BFF_REDIS_URL": "http://:hidden@localhost:6379"},
		"a Redis without scheme":       {"BFF_REDIS_URL": "hidden@localhost:6379"},
		"a database that is none":      {"BFF_REDIS_URL": "redis://:hidden@localhost/first"},
		"a Redis and half a password":  {"BFF_REDIS_URL": "redis://me:hidden%@localhost"},
		"a Redis with an odd option":   {"BFF_REDIS_URL": "rediss://localhost?password=hidden"},
		"a Cluster with a lone comma":  {"BFF_REDIS_URL": "redis://:hidden@localhost:7000,"},
		"a Cluster of two passwords":   {"BFF_REDIS_URL": "redis://:hidden@localhost:7000,:hidden@localhost:7001"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := run(t.Context(), func(name string) string { return env[name] }, &stdout, &stderr)
			said := stderr.String()
			if code != 2 || stdout.Len() > 0 || strings.Count(said, "\n") != 1 || !strings.Contains(said, "BFF_") {
				t.Errorf("exit status %d, %q on stdout, %q on stderr", code, stdout.String(), said)
			}
			if strings.Contains(said, "hidden") {
				t.Errorf("%q quotes a secret", said)
			}
		})
	}
}

// SIGTERM ends the context: requests end, streams of events as well.
func TestRunAndShutdown(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	read, write := io.Pipe()
	env := map[string]string{"BFF_ADDR": "127.0.0.1:0", "BFF_INSECURE_COOKIES": "1"}
	code := make(chan int)
	go func() { code <- run(ctx, func(name string) string { return env[name] }, write, io.Discard) }()
	line, err := bufio.NewReader(read).ReadString('\n')
	base, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatal(line, err)
	}
	w := &world{t: t, url: base, browser: jarred(t, &http.Client{Transport: &http.Transport{}})}
	w.want(w.fetch("/healthz"), http.StatusOK)
	w.signIn("alice")
	resp, err := w.browser.Get(base + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stop()
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Error("the stream of events was cut:", err)
	}
	if c := <-code; c != 0 {
		t.Errorf("exit status %d", c)
	}
	w.browser.CloseIdleConnections()
}

func TestAPortThatIsTaken(t *testing.T) {
	w := start(t, nil)
	env := map[string]string{"BFF_ADDR": strings.TrimPrefix(w.url, "http://")}
	if code := run(t.Context(), func(name string) string { return env[name] }, io.Discard, io.Discard); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
}
