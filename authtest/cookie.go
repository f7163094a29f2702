package authtest

import (
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// The cookies of the cookie style.
const (
	accessCookie  = "accessToken"
	refreshCookie = "refreshToken"
)

func (as *AS) serveLogin(w http.ResponseWriter, r *http.Request) {
	var in struct{ Username, Password string }
	body := io.LimitReader(r.Body, maxBody)
	if err := json.NewDecoder(body).Decode(&in); err != nil || in.Username == "" || in.Password != Password {
		// Without a text of its own, such an error has no "error" member.
		writeJSON(w, http.StatusUnauthorized, map[string]any{"message": "Unauthorized", "statusCode": http.StatusUnauthorized})
		return
	}
	as.writeCookies(w, as.signIn(in.Username))
}

func (as *AS) serveRestore(w http.ResponseWriter, r *http.Request) {
	drain(r)
	token := cookie(r, refreshCookie)
	fault := as.arrive(token)
	defer as.leave()
	fault.serve(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g, err := grant{}, errUnknown
		if token != "" {
			g, err = as.redeem(token)
		}
		wait(r, as.config.Delay)
		if err != nil {
			writeJSON(w, http.StatusUnauthorized, map[string]any{
				"message": err.Error(), "error": "Unauthorized", "statusCode": http.StatusUnauthorized,
			})
			return
		}
		as.writeCookies(w, g)
	}))
}

// serveLogout ends the session of the cookie, and answers 200 whatever it was.
func (as *AS) serveLogout(w http.ResponseWriter, r *http.Request) {
	drain(r)
	token := cookie(r, refreshCookie)
	fault := as.arriveRevoke(token)
	fault.serve(w, r, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		as.EndSession(token)
		for _, name := range []string{accessCookie, refreshCookie} {
			http.SetCookie(w, &http.Cookie{Name: name, Path: "/", Expires: time.Unix(0, 0)})
		}
		writeJSON(w, http.StatusOK, map[string]any{})
	}))
}

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// writeCookies answers in the cookie style. As with the backend that it is
// modelled on, there are no cookies where nothing was rotated.
func (as *AS) writeCookies(w http.ResponseWriter, g grant) {
	access := as.accessToken(g)
	if g.refresh != "" {
		setCookie(w, accessCookie, access, g.issued, g.expiry)
		setCookie(w, refreshCookie, g.refresh, g.issued, g.refreshExpiry)
	}
	members := map[string]any{"accessToken": access}
	as.mutated(members)
	writeJSON(w, http.StatusOK, members)
}

func setCookie(w http.ResponseWriter, name, value string, issued, expiry time.Time) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", Expires: expiry, MaxAge: int(expiry.Sub(issued) / time.Second),
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
