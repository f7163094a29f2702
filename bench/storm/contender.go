//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// pair is an access token and its refresh token, as cookies hold them. Issued and
// Expiry are what the client was told of the access token; zero if it was not.
type pair struct {
	Access, Refresh string
	Issued, Expiry  time.Time
}

// site is what a contender works with.
type site struct {
	me, token string            // URLs
	base      http.RoundTripper // the same for everybody, with the same bound
}

// page is one page of the user's, with the tokens of the cookies that it was made
// of: it calls the API as often as it is called.
type page func(ctx context.Context) (status int, err error)

// contender is a way to call an API with tokens that end.
type contender struct {
	name string
	// start starts a process. What it returns makes a page of cookies.
	start func(site) func(cookies pair) page
	// tabs has each request made by a page of its own, all of the same cookies.
	tabs bool
	// expects tells who refreshes by the time alone, and who does so, too: they
	// take part where the end of the access token is known.
	expects bool
	blind   bool // sends no request again that met a 401
	again   bool // does what "lock and compare" does; takes part at once and where that is cheap
}

// contenders are the ways there are, in Go. Each has what its users can give it,
// and where it has no exchange of its own, the same one.
var contenders = []contender{
	{name: "rebearer", start: newRebearer, expects: true},
	{name: "rebearer, a page per request", start: newRebearer, expects: true, tabs: true},
	{name: "singleflight alone", start: newSingleflight},
	{name: "lock and compare", start: newLocked},
	{name: "the memo's way", start: newMemo},
	{name: "azcore", start: newAzcore, expects: true},
	{name: "resty v2, hook", start: hooked(resty2Client, plainly)},
	{name: "resty v2, hook with lock", start: hooked(resty2Client, carefully), again: true},
	{name: "resty v3, hook", start: hooked(resty3Client, plainly)},
	{name: "resty v3, hook with lock", start: hooked(resty3Client, carefully), again: true},
	{name: "retryablehttp, hook", start: hooked(retryableClient, plainly)},
	{name: "retryablehttp, hook with lock", start: hooked(retryableClient, carefully), again: true},
	{name: "client-go", start: newClientGo, expects: true, blind: true},
	{name: "x/oauth2", start: newOAuth2, expects: true, blind: true},
}

// newRebearer has one Coordinator for the process, and a Cache for each page.
func newRebearer(s site) func(pair) page {
	as := &transport.TokenEndpoint{URL: s.token, ClientID: "bff", Base: s.base}
	coordinator := &tokencache.Coordinator{Refresher: as}
	api, err := url.Parse(s.me)
	if err != nil {
		panic(err)
	}
	rt := &transport.Transport{Base: s.base, Origins: []string{api.Scheme + "://" + api.Host}}
	client := &http.Client{Transport: rt}
	return func(p pair) page {
		cache := tokencache.New(coordinator, tokencache.NewToken(tokencache.TokenFields{
			Access: p.Access, Refresh: p.Refresh, Issued: p.Issued, Expiry: p.Expiry,
		}))
		return func(ctx context.Context) (int, error) {
			return get(tokencache.NewContext(ctx, cache), client, s.me, "")
		}
	}
}

// get calls the API, and reads the answer to its end. Where access is empty, the
// client signs.
func get(ctx context.Context, client *http.Client, to, access string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return 0, err
	}
	if access != "" {
		req.Header.Set("Authorization", "Bearer "+access)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, finish(resp)
}

// finish reads an answer to its end and closes it, so that its connection is used
// again.
func finish(resp *http.Response) error {
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		resp.Body.Close()
		return err
	}
	return resp.Body.Close()
}

// exchange presents a refresh token, for those who have no code of their own to do
// that. It ends with ctx as each of its callers does.
func (s site) exchange(ctx context.Context, refresh string) (pair, error) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "client_id": {"bff"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.token, strings.NewReader(form.Encode()))
	if err != nil {
		return pair{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := (&http.Client{Transport: s.base}).Do(req)
	if err != nil {
		return pair{}, err
	}
	var answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Expires int    `json:"expires_in"`
		Error   string
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	if done := finish(resp); err == nil {
		err = done
	}
	if err == nil && (resp.StatusCode != http.StatusOK || answer.Access == "") {
		err = fmt.Errorf("%s: %s", resp.Status, answer.Error)
	}
	if err != nil {
		return pair{}, err
	}
	now := time.Now()
	return pair{answer.Access, answer.Refresh, now, now.Add(time.Duration(answer.Expires) * time.Second)}, nil
}
