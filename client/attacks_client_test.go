package client_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/transport"
)

// T-A8, T-A1: a path that a user has made up. resty takes an absolute URL for what
// it is, whatever its base is; the token goes to the API or nowhere.
func TestAPathThatAUserMadeUp(t *testing.T) {
	w := start(t)
	var mu sync.Mutex
	var leaked []string
	evil := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if a := r.Header.Get("Authorization"); a != "" || r.Header.Get("Cookie") != "" {
			leaked = append(leaked, r.URL.String())
		}
		rw.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(evil.Close)
	host := strings.TrimPrefix(evil.URL, "http://")
	ctx := w.signIn(t, "ada")
	for _, path := range []string{
		evil.URL, evil.URL + "/users/me", "HTTP://" + host + "/", "//" + host + "/", `\\` + host, "@" + host + "/", ":80@" + host + "/", "/../../" + evil.URL, "/\t//" + host,
		"http:" + host, "http:/" + host, "." + host, "/users/me?next=" + evil.URL, "/users/me#@" + host, "https://" + host + "/", "file:///etc/passwd", "/%2e%2e/%2f" + host, "\r\n/x",
	} {
		// An error is as good as an answer: what counts is where the token went.
		w.client.R(ctx).Get(path)
		w.client.R(ctx).SetPathParam("id", path).Get("/users/{id}")
		w.client.R(ctx).SetRawPathParam("id", path).Get("{id}")
	}
	where := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return leaked
	}
	if all := where(); len(all) > 0 {
		t.Errorf("the token went to %q", all)
	}
	if n := w.as.Counts().Presentations; n != 0 {
		t.Errorf("the 401 of another host cost %d presentations", n)
	}
	if resp, err := w.client.R(ctx).Get("/users/me"); err != nil || resp.StatusCode() != 200 {
		t.Errorf("afterwards: %v", err)
	}
	// With the host among the origins it would have been sent: this test can fail.
	open := client.New(w.api.URL, &transport.Transport{Origins: []string{w.api.URL, evil.URL}})
	open.R(w.signIn(t, "ada")).Get(evil.URL)
	if len(where()) == 0 {
		t.Error("nothing is noticed")
	}
}
