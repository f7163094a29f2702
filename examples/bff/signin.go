package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// password is that of every user: the page asks for none.
const password = "pw"

const signInTimeout = 10 * time.Second

const maxUser = 100 // bytes of a user's name, which goes into the access token and with it into a cookie

func (b *replica) serveLogin(w http.ResponseWriter, r *http.Request) {
	b.showLogin(w, http.StatusOK, middleware.Next(r), "")
}

// serveSignIn signs in whom the form names, and ends the session that was there.
func (b *replica) serveSignIn(w http.ResponseWriter, r *http.Request) {
	var tooLarge *http.MaxBytesError
	if errors.As(r.ParseForm(), &tooLarge) {
		refuseBody(w, r)
		return
	}
	next, user := middleware.Next(r), strings.TrimSpace(r.PostFormValue("user"))
	if user == "" || len(user) > maxUser {
		b.showLogin(w, http.StatusBadRequest, next, "Please say who you are, in 100 letters at the most.")
		return
	}
	token, err := b.signIn(r.Context(), user)
	switch {
	case errors.Is(err, errRefused):
		b.log.WarnContext(r.Context(), "sign-in refused", "err", err)
		b.showLogin(w, http.StatusForbidden, next, "The authorization server refuses this sign-in.")
	case err != nil:
		b.log.WarnContext(r.Context(), "sign-in failed", "err", err)
		w.Header().Set("Retry-After", "2")
		b.showLogin(w, http.StatusServiceUnavailable, next, "The authorization server does not answer as it should. Please try again soon.")
	default:
		if err := b.auth.SignIn(w, r, token); err != nil {
			b.auth.Error(w, r, err)
			return
		}
		http.Redirect(w, r, next, http.StatusSeeOther)
	}
}

var errRefused = errors.New("the authorization server refuses")

// signIn gets the first tokens of a session. A real BFF sends the browser to the
// authorization server instead, by the code flow with PKCE, and so never sees a
// password: golang.org/x/oauth2 does that, and its tokens go to
// Authenticator.SignIn as these do.
func (b *replica) signIn(ctx context.Context, user string) (tokencache.Token, error) {
	req, err := b.signInRequest(ctx, user)
	if err != nil {
		return tokencache.Token{}, err
	}
	resp, err := b.signIns.Do(req)
	if err != nil {
		return tokencache.Token{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return tokencache.Token{}, errors.New("the answer broke off")
	case resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests:
		return tokencache.Token{}, fmt.Errorf("%w with status %d", errRefused, resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return tokencache.Token{}, fmt.Errorf("the answer has status %d", resp.StatusCode)
	}
	f, err := b.readTokens(resp, body)
	if err != nil {
		return tokencache.Token{}, err
	}
	if f.Access == "" || f.Refresh == "" {
		return tokencache.Token{}, errors.New("the answer lacks a token")
	}
	return tokencache.NewToken(f), nil
}

func (b *replica) signInRequest(ctx context.Context, user string) (*http.Request, error) {
	if b.style == styleCookie {
		body, err := json.Marshal(map[string]string{"username": user, "password": password})
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, "POST", b.backend.login, bytes.NewReader(body))
		if err == nil {
			req.Header.Set("Content-Type", "application/json")
		}
		return req, err
	}
	form := url.Values{"grant_type": {"password"}, "username": {user}, "password": {password}}
	if b.clientSecret == "" {
		form.Set("client_id", b.clientID) // a public client (RFC 6749 section 3.2.1)
	}
	req, err := http.NewRequestWithContext(ctx, "POST", b.backend.login, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if b.clientSecret != "" {
		// Both parts are form-urlencoded first (RFC 6749 section 2.3.1).
		req.SetBasicAuth(url.QueryEscape(b.clientID), url.QueryEscape(b.clientSecret))
	}
	return req, nil
}

// readTokens reads a successful answer in either style. Errors of the JSON
// package are not passed on: they quote what they stumble over.
func (b *replica) readTokens(resp *http.Response, body []byte) (f tokencache.TokenFields, err error) {
	var in struct {
		Cookie  string `json:"accessToken"`
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Seconds int64  `json:"expires_in"`
	}
	if json.Unmarshal(body, &in) != nil {
		return f, errors.New("the answer is not the JSON that was expected")
	}
	now := time.Now()
	f.Issued = now
	if b.style == styleOAuth2 {
		f.Access, f.Refresh = in.Access, in.Refresh
		if in.Seconds > 0 {
			f.Expiry = now.Add(time.Duration(in.Seconds) * time.Second)
		}
		return f, nil
	}
	f.Access = in.Cookie
	for _, c := range resp.Cookies() {
		switch c.Name {
		case "accessToken":
			f.Access = c.Value
		case "refreshToken":
			f.Refresh = c.Value
			if c.Quoted {
				f.Refresh = `"` + c.Value + `"`
			}
			if c.MaxAge > 0 {
				f.RefreshExpiry = now.Add(time.Duration(c.MaxAge) * time.Second)
			}
		}
	}
	return f, nil
}
