package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/authtest"
)

// demo is an authorization server and an API in this process, which can be made
// to behave badly. The server is strict: a refresh token that is presented twice
// ends the session.
type demo struct {
	as       *authtest.AS
	api      *authtest.API
	timeline *timeline
	config   *config
	now      atomic.Value // string: the state of the server
}

const (
	stateUp   = "up"
	stateSlow = "slow"
	stateDown = "down"
)

// slowness is how long a slow server takes: long enough to do something
// meanwhile.
const slowness = 3 * time.Second

func startDemo(c *config, t *timeline) *demo {
	as := authtest.ASConfig{ClientID: c.clientID}
	if c.style == styleOAuth2 {
		if c.clientSecret == "" {
			c.clientSecret = "bff-secret"
		}
		as.ClientAuth, as.ClientSecret = authtest.ClientSecretBasic, c.clientSecret
	}
	d := &demo{as: authtest.NewAS(as), timeline: t, config: c}
	d.api = d.as.NewAPI()
	d.now.Store(stateUp)
	return d
}

func (d *demo) close() {
	d.api.Close()
	d.as.Close()
}

func (d *demo) state() string { return d.now.Load().(string) }

// serve does what the page's controls ask for. It is not behind the session,
// for which the server may be needed that it has taken down.
func (d *demo) serve(w http.ResponseWriter, r *http.Request) {
	said, cookies := "", d.config.cookies()
	switch r.PathValue("control") {
	case "expire":
		d.as.RevokeAccess()
		said = "every access token has ended: the API refuses them from now on"
	case "forget":
		http.SetCookie(w, &http.Cookie{
			Name: cookies.Access, Path: "/", MaxAge: -1,
			Secure: !cookies.InsecureNoTLS, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
		said = "this browser has lost its access token: it is renewed before the next page"
	case "end":
		if c, err := r.Cookie(cookies.Refresh); err == nil {
			d.as.EndSession(c.Value)
		}
		d.as.RevokeAccess()
		said = "this session was ended elsewhere, as by an administrator"
	case stateUp:
		d.as.Fail(nil)
	case stateSlow:
		d.as.Fail(authtest.After(late))
	case stateDown:
		d.as.Fail(authtest.Answer(http.StatusServiceUnavailable, nil, ""))
	default:
		http.NotFound(w, r)
		return
	}
	if said == "" {
		d.now.Store(r.PathValue("control"))
		said = "the authorization server is " + d.state()
	}
	d.timeline.add(laneDemo, "demo", "%s", said)
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// late answers when the refresh token is spent, but not at once.
func late(w http.ResponseWriter, r *http.Request, next http.Handler) {
	select {
	case <-time.After(slowness):
		next.ServeHTTP(w, r)
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}
