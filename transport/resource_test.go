package transport_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/transport"
)

// departments is an authorization server that issues access tokens for the
// resource that is asked for, such as "for:https://files.example 3", and two
// APIs that want one of their own; the third is the session's own.
type departments struct {
	own, files, mail *httptest.Server
	client           *http.Client
	coordinator      *tokencache.Coordinator

	mu     sync.Mutex
	forms  []url.Values
	wrong  int // access tokens that came to another API than the one they are for
	reject map[string]bool
}

const filesResource, mailResource = "https://files.example", "https://mail.example"

func newDepartments(t *testing.T, endpoint transport.TokenEndpoint) *departments {
	t.Helper()
	d := &departments{reject: map[string]bool{}}
	as := newServer(t, d.token)
	d.own, d.files, d.mail = newServer(t, d.api("")), newServer(t, d.api(filesResource)), newServer(t, d.api(mailResource))
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	endpoint.URL, endpoint.Base, endpoint.ClientID = as.URL, base, "bff"
	d.coordinator = &tokencache.Coordinator{Refresher: &endpoint}
	settle(t, d.coordinator)
	d.client = &http.Client{Transport: &transport.Transport{
		Base: base, Origins: []string{d.own.URL},
		Resources: map[string]string{d.files.URL: filesResource, d.mail.URL + "/": mailResource},
	}}
	return d
}

func newServer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func (d *departments) token(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forms = append(d.forms, r.PostForm)
	w.Header().Set("Content-Type", "application/json")
	n := strings.Repeat("i", len(d.forms))
	io.WriteString(w, `{"access_token":"for:`+r.PostForm.Get("resource")+`:`+n+`","refresh_token":"r`+n+`","token_type":"Bearer","expires_in":3600}`)
}

// api takes the tokens that are for it, but for those it was told to reject.
func (d *departments) api(resource string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		of, ours := strings.CutPrefix(token, "for:")
		of = of[:max(0, strings.LastIndexByte(of, ':'))]
		d.mu.Lock()
		defer d.mu.Unlock()
		switch {
		case token == "" || !ours || d.reject[token]:
			unauthorized(w)
		case of != resource:
			d.wrong++
			unauthorized(w)
		default:
			io.WriteString(w, token)
		}
	}
}

func (d *departments) show() (context.Context, *tokencache.Cache) {
	cache := tokencache.New(d.coordinator, tokencache.NewToken(tokencache.TokenFields{Access: "old", Refresh: "r"}))
	return tokencache.NewContext(context.Background(), cache), cache
}

// T-K5: each API gets what was issued for it, from one refresh token that is
// never presented twice.
func TestTheOriginSaysWhichAccessTokenIsSent(t *testing.T) {
	d := newDepartments(t, transport.TokenEndpoint{Scope: "a b"})
	ctx, cache := d.show()
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			server := []*httptest.Server{d.own, d.files, d.mail}[i%3]
			wantStatus(t, call(t, d.client, newRequest(ctx, "GET", server.URL+"/x", nil)), 200)
		})
	}
	all.Wait()
	equal(t, "tokens at the wrong API", d.wrong, 0)
	equal(t, "presentations", len(d.forms), 3)
	seen, asked := map[string]bool{}, map[string]string{}
	for _, form := range d.forms {
		equal(t, "presented twice", seen[form.Get("refresh_token")], false)
		seen[form.Get("refresh_token")] = true
		asked[form.Get("resource")] = form.Get("scope")
	}
	for resource, scope := range map[string]string{"": "a b", filesResource: "", mailResource: ""} {
		got, ok := asked[resource]
		equal(t, "asked for "+resource, ok, true)
		equal(t, "scope for "+resource, got, scope)
	}
	if newest, changed := cache.Changed(); !changed || newest.Refresh() != "riii" || newest.Resource() != "" {
		t.Errorf("the browser is given %q", newest.Refresh())
	}
}

// B2 for a resource: a 401 renews the token of that API alone.
func TestA401RenewsTheAccessTokenOfItsAPI(t *testing.T) {
	d := newDepartments(t, transport.TokenEndpoint{})
	ctx, _ := d.show()
	first := call(t, d.client, newRequest(ctx, "GET", d.files.URL, nil))
	own := call(t, d.client, newRequest(ctx, "GET", d.own.URL, nil))
	d.reject[first.body] = true
	second := call(t, d.client, newRequest(ctx, "POST", d.files.URL, strings.NewReader("body")))
	wantStatus(t, second, 200)
	if second.body == first.body {
		t.Error("the rejected one was sent again")
	}
	if again := call(t, d.client, newRequest(ctx, "GET", d.own.URL, nil)); again.body != own.body {
		t.Errorf("the own access token has become %q", again.body)
	}
	equal(t, "presentations", len(d.forms), 3)
	equal(t, "tokens at the wrong API", d.wrong, 0)
}

// T-A2, T-K5: a redirect from one API to another takes no token along.
func TestARedirectToAnotherAPIGetsThatAPIsToken(t *testing.T) {
	d := newDepartments(t, transport.TokenEndpoint{})
	hop := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, d.mail.URL, http.StatusTemporaryRedirect)
	})
	d.client.Transport.(*transport.Transport).Resources[hop.URL] = filesResource
	ctx, _ := d.show()
	a := call(t, d.client, newRequest(ctx, "GET", hop.URL, nil))
	wantStatus(t, a, 200)
	equal(t, "token", a.body, "for:"+mailResource+":ii")
	equal(t, "tokens at the wrong API", d.wrong, 0)
}

func TestHowAResourceIsAskedFor(t *testing.T) {
	for name, test := range map[string]struct {
		endpoint        transport.TokenEndpoint
		of              string
		resource, scope string
	}{
		"nothing is said, and the server decides":         {transport.TokenEndpoint{}, "", "", ""},
		"the own one by its indicator":                    {transport.TokenEndpoint{Resource: "https://own"}, "", "https://own", ""},
		"the own one by scope":                            {transport.TokenEndpoint{Scope: "a"}, "", "", "a"},
		"another by its indicator":                        {transport.TokenEndpoint{Scope: "a", Resource: "https://own"}, filesResource, filesResource, ""},
		"another by scope, where resource is not known":   {transport.TokenEndpoint{Scope: "a", ResourceScopes: map[string]string{filesResource: "files/.default"}}, filesResource, "", "files/.default"},
		"another that is not listed among those by scope": {transport.TokenEndpoint{ResourceScopes: map[string]string{filesResource: "f"}}, mailResource, mailResource, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDepartments(t, test.endpoint)
			d.coordinator.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Refresh: "r"}).For(test.of))
			equal(t, "presentations", len(d.forms), 1)
			equal(t, "resource", strings.Join(d.forms[0]["resource"], "|"), test.resource)
			equal(t, "scope", strings.Join(d.forms[0]["scope"], "|"), test.scope)
		})
	}
}

func TestTheCookieStyleHasOneAccessToken(t *testing.T) {
	e := &transport.CookieEndpoint{URL: "https://as.example"}
	_, err := e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Refresh: "r"}).For(filesResource))
	wantReason(t, err, reason.Configuration)
}

// Bad input gets a clear error before anything is sent.
func TestAnOriginWithTwoResourcesIsRefused(t *testing.T) {
	d := newDepartments(t, transport.TokenEndpoint{})
	d.client.Transport.(*transport.Transport).Resources[strings.ToUpper(d.mail.URL)] = filesResource
	ctx, _ := d.show()
	_, err := try(d.client, newRequest(ctx, "GET", d.mail.URL, nil))
	wantReason(t, err, reason.Configuration)
}
