package authtest

import (
	"net/http"
	"net/url"
)

// serveRevoke is RFC 7009. A refresh token ends its session, whatever its
// generation; an access token ends alone. Access tokens outlive their session.
func (as *AS) serveRevoke(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(w, r)
	fault := as.arriveRevoke(form.Get("token"))
	fault.serve(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e := as.checkTokenRequest(r, form, err); e != "" {
			writeOAuthError(w, r, e)
			return
		}
		a, isAccess := as.checkAccess(form.Get("token"))
		as.mu.Lock()
		defer as.mu.Unlock()
		if isAccess {
			as.revoked[a.serial] = true
		}
		as.end(form.Get("token"))
		// 200 for an unknown token too (RFC 7009 section 2.2).
	}))
}

// serveIntrospect is RFC 7662.
func (as *AS) serveIntrospect(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(w, r)
	if e := as.checkTokenRequest(r, form, err); e != "" {
		writeOAuthError(w, r, e)
		return
	}
	writeJSON(w, http.StatusOK, as.introspect(form.Get("token")))
}

// checkTokenRequest checks a request about a token; "" if it is fine.
func (as *AS) checkTokenRequest(r *http.Request, form url.Values, err error) oauthError {
	if err != nil {
		return invalidRequest
	}
	if e := as.checkClient(r, form); e != "" {
		return e
	}
	if form.Get("token") == "" {
		return invalidRequest
	}
	return ""
}

func (as *AS) introspect(token string) map[string]any {
	if a, ok := as.checkAccess(token); ok && a.alive {
		return map[string]any{
			"active": true, "token_type": "Bearer", "sub": a.subject, "iss": as.URL, "aud": as.config.Audience,
			"client_id": as.config.ClientID, "iat": a.issued.Unix(), "exp": a.expiry.Unix(),
		}
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	if t := as.tokens[token]; t != nil && as.judge(t) == current {
		return map[string]any{
			"active": true, "sub": t.family.subject, "iss": as.URL,
			"client_id": as.config.ClientID, "exp": t.expiry.Unix(),
		}
	}
	return map[string]any{"active": false}
}
