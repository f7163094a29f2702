package authtest

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// Password is the password of every user.
const Password = "pw"

// maxBody is more than any request of a client needs.
const maxBody = 1 << 20

// oauthError is an error code (RFC 6749 section 5.2).
type oauthError string

const (
	invalidRequest   oauthError = "invalid_request"
	invalidClient    oauthError = "invalid_client"
	invalidGrant     oauthError = "invalid_grant"
	unsupportedGrant oauthError = "unsupported_grant_type"
)

func (e oauthError) Error() string { return string(e) }

func writeOAuthError(w http.ResponseWriter, r *http.Request, e oauthError) {
	status := http.StatusBadRequest
	if e == invalidClient {
		status = http.StatusUnauthorized
		if r.Header.Get("Authorization") != "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="authtest"`)
		}
	}
	writeJSON(w, status, map[string]any{"error": string(e)})
}

// writeJSON answers with what must not be stored (RFC 6749 section 5.1).
func writeJSON(w http.ResponseWriter, status int, members map[string]any) {
	body, err := json.Marshal(members)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(status)
	w.Write(body)
}

// readForm reads the parameters from the body, and only from there. Each may be
// there once (RFC 6749 section 3.2).
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	defer drain(r)
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return nil, invalidRequest
	}
	if err := r.ParseForm(); err != nil {
		return nil, invalidRequest
	}
	for _, values := range r.PostForm {
		if len(values) > 1 {
			return nil, invalidRequest
		}
	}
	return r.PostForm, nil
}

func (as *AS) serveToken(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(w, r)
	endpoint := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var g grant
		e := oauthError("")
		if err != nil {
			e = invalidRequest
		} else if e = as.checkClient(r, form); e == "" {
			g, e = as.exchange(form)
		}
		wait(r, as.config.Delay)
		if e != "" {
			writeOAuthError(w, r, e)
			return
		}
		as.writeGrant(w, g)
	})
	if form.Get("grant_type") != "refresh_token" {
		endpoint(w, r)
		return
	}
	fault := as.arrive(form.Get("refresh_token"))
	defer as.leave()
	fault.serve(w, r, endpoint)
}

// exchange serves the grants; the error is "" if there is none.
func (as *AS) exchange(form url.Values) (grant, oauthError) {
	switch form.Get("grant_type") {
	case "refresh_token": // RFC 6749 section 6
		if form.Get("refresh_token") == "" {
			return grant{}, invalidRequest
		}
		g, err := as.redeem(form.Get("refresh_token"))
		if err != nil {
			return grant{}, invalidGrant
		}
		return g, ""
	case "password": // RFC 6749 section 4.3, for scripts
		if form.Get("username") == "" || form.Get("password") != Password {
			return grant{}, invalidGrant
		}
		return as.signIn(form.Get("username")), ""
	case "":
		return grant{}, invalidRequest
	}
	return grant{}, unsupportedGrant
}

// writeGrant answers in the grant style (RFC 6749 section 5.1).
func (as *AS) writeGrant(w http.ResponseWriter, g grant) {
	members := map[string]any{
		"access_token": as.accessToken(g),
		"token_type":   "Bearer",
		"expires_in":   int64(g.expiry.Sub(g.issued) / time.Second),
	}
	if g.refresh != "" {
		members["refresh_token"] = g.refresh
	}
	as.mutated(members)
	writeJSON(w, http.StatusOK, members)
}

// mutated applies what [AS.Mutate] was given.
func (as *AS) mutated(members map[string]any) {
	as.mu.Lock()
	f := as.mutate
	as.mu.Unlock()
	if f != nil {
		f(members)
	}
}
