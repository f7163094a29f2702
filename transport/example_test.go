package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// One http.Client serves all users: the context of a request says whose tokens
// it gets.
func ExampleTransport() {
	as := authtest.NewAS(authtest.ASConfig{})
	defer as.Close()
	api := as.NewAPI()
	defer api.Close()

	// These live as long as the process.
	endpoint := &transport.TokenEndpoint{URL: as.TokenURL(), ClientID: "bff"}
	coordinator := &tokencache.Coordinator{Refresher: endpoint}
	client := &http.Client{Transport: &transport.Transport{Origins: []string{api.URL}}}
	defer client.CloseIdleConnections()

	// This is for one incoming request, with the tokens that its cookies show.
	shown := as.SignIn("ann")
	cache := tokencache.New(coordinator, shown)
	ctx := tokencache.NewContext(context.Background(), cache)

	as.RevokeAccess() // so that the API answers 401
	req, err := http.NewRequestWithContext(ctx, "POST", api.URL+"/comments", strings.NewReader("hello"))
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	_, changed := cache.Changed()
	fmt.Println(resp.StatusCode, string(body))
	fmt.Println("new cookies:", changed)
	fmt.Println("presentations:", as.Counts().Presentations)
	// Output:
	// 200 hello
	// new cookies: true
	// presentations: 1
}

// A program that makes its own requests makes them with NewRequest, and signing
// them allocates nothing more.
func ExampleNewRequest() {
	as := authtest.NewAS(authtest.ASConfig{})
	defer as.Close()
	api := as.NewAPI()
	defer api.Close()
	client := &http.Client{Transport: &transport.Transport{Origins: []string{api.URL}}}
	defer client.CloseIdleConnections()

	ctx := tokencache.NewContext(context.Background(), tokencache.New(&tokencache.Coordinator{}, as.SignIn("ann")))
	req, err := transport.NewRequest(ctx, "GET", api.URL+"/users/me", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode, len(req.Header))
	// Output: 200 0
}

// A Transport must not be the client of its own endpoint: a refresh would wait
// for itself.
func ExampleTransport_incorrect() {
	as := authtest.NewAS(authtest.ASConfig{})
	defer as.Close()
	api := as.NewAPI()
	defer api.Close()

	tr := &transport.Transport{Origins: []string{as.URL, api.URL}}
	coordinator := &tokencache.Coordinator{Refresher: &transport.TokenEndpoint{
		URL:  as.TokenURL(),
		Base: tr, // INCORRECT: leave Base nil
	}}
	client := &http.Client{Transport: tr}
	defer client.CloseIdleConnections()

	cache := tokencache.New(coordinator, as.SignIn("ann"))
	as.RevokeAccess()
	req, _ := http.NewRequestWithContext(tokencache.NewContext(context.Background(), cache), "GET", api.URL+"/users/me", nil)
	resp, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.StatusCode)
	fmt.Println(errors.Is(cache.Err(), tokencache.ErrReentrant))
	fmt.Println("presentations:", as.Counts().Presentations)
	// Output:
	// 401
	// true
	// presentations: 0
}

// A confidential client, of a server that calls a dead grant something else, too.
func ExampleTokenEndpoint() {
	as := authtest.NewAS(authtest.ASConfig{ClientAuth: authtest.ClientSecretBasic})
	defer as.Close()

	endpoint := &transport.TokenEndpoint{
		URL:           as.TokenURL(),
		RevocationURL: as.RevokeURL(),
		ClientID:      "bff",
		ClientSecret:  "bff-secret",
		Dead:          []string{"400 invalid_request"},
	}
	coordinator := &tokencache.Coordinator{Refresher: endpoint, Revoker: endpoint}
	defer http.DefaultClient.CloseIdleConnections()

	ctx := context.Background()
	spent := as.SignIn("ann")
	next, err := coordinator.Refresh(ctx, spent)
	fmt.Println("refreshed:", err == nil && !next.Same(spent))
	fmt.Println(next) // prints no token
	fmt.Println("revoked:", coordinator.Revoke(ctx, next) == nil)
	_, err = coordinator.Refresh(ctx, next)
	fmt.Println(err)
	fmt.Println(errors.Is(err, tokencache.ErrLoginRequired))
	// Output:
	// refreshed: true
	// Token(…)
	// revoked: true
	// rebearer: login required: logged_out
	// true
}

// A backend that keeps the tokens in cookies.
func ExampleCookieEndpoint() {
	as := authtest.NewAS(authtest.ASConfig{})
	defer as.Close()

	endpoint := &transport.CookieEndpoint{
		URL:       as.RestoreURL(), // POST …/auth/restore-token
		LogoutURL: as.LogoutURL(),
	}
	coordinator := &tokencache.Coordinator{Refresher: endpoint, Revoker: endpoint}
	defer http.DefaultClient.CloseIdleConnections()

	spent := as.SignIn("ann")
	next, err := coordinator.Refresh(context.Background(), spent)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("access token changed:", next.Access() != spent.Access())
	fmt.Println("refresh token changed:", next.Refresh() != spent.Refresh())
	// Output:
	// access token changed: true
	// refresh token changed: true
}

// An API that wants a stronger sign-in than the user's.
func ExampleStepUp() {
	as := authtest.NewAS(authtest.ASConfig{})
	defer as.Close()
	api := as.NewAPI()
	defer api.Close()
	api.Refuse(authtest.Refusal{
		Always:    true,
		Challenge: `Bearer error="insufficient_user_authentication", acr_values="phr", max_age="300"`,
	})

	coordinator := &tokencache.Coordinator{Refresher: &transport.TokenEndpoint{URL: as.TokenURL()}}
	client := &http.Client{Transport: &transport.Transport{Origins: []string{api.URL}}}
	defer client.CloseIdleConnections()
	ctx := tokencache.NewContext(context.Background(), tokencache.New(coordinator, as.SignIn("ann")))
	req, _ := http.NewRequestWithContext(ctx, "GET", api.URL+"/users/me", nil)
	resp, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()

	var stepUp *tokencache.StepUpError
	if errors.As(transport.StepUp(resp), &stepUp) {
		fmt.Println(stepUp)
		fmt.Println("acr_values:", stepUp.ACRValues, "max_age:", stepUp.MaxAge)
	}
	fmt.Println("presentations:", as.Counts().Presentations)
	// Output:
	// rebearer: the API answered insufficient_user_authentication
	// acr_values: [phr] max_age: 5m0s
	// presentations: 0
}
