package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/tokencache"
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

// How long the servers take: as long as some do, so that a refresh can be seen. A
// slow one leaves time to do something meanwhile.
const (
	asTakes  = 200 * time.Millisecond
	apiTakes = 40 * time.Millisecond
	slowness = 3 * time.Second
)

func startDemo(c *config, t *timeline) *demo {
	as := authtest.ASConfig{ClientID: c.clientID, Delay: asTakes}
	if c.style == styleOAuth2 {
		if c.clientSecret == "" {
			c.clientSecret = "bff-secret"
		}
		as.ClientAuth, as.ClientSecret = authtest.ClientSecretBasic, c.clientSecret
	}
	d := &demo{as: authtest.NewAS(as), timeline: t, config: c}
	d.api = d.as.NewAPI()
	d.api.Intercept(late(apiTakes))
	d.now.Store(stateUp)
	t.counts = d.counted
	return d
}

func (d *demo) close() {
	d.api.Close()
	d.as.Close()
}

func (d *demo) state() string { return d.now.Load().(string) }

// serve does what the page's controls ask for. But for «end» it is not behind the
// session, for which the server may be needed that it has taken down.
func (d *demo) serve(w http.ResponseWriter, r *http.Request) {
	said, cookies := "", d.config.cookies()
	switch r.PathValue("control") {
	case "expire":
		d.as.RevokeAccess()
		said = "Every access token has ended: the API refuses them from now on."
	case "forget":
		if d.config.tokens != tokensPlain {
			http.Error(w, "there is no cookie with an access token", http.StatusConflict)
			return
		}
		http.SetCookie(w, &http.Cookie{
			Name: cookies.Access, Path: "/", MaxAge: -1,
			Secure: !cookies.InsecureNoTLS, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
		said = "This browser has lost its access token: it is renewed before the next page."
	case "": // of the pattern /demo/end
		d.as.EndSession(tokencache.FromContext(r.Context()).Token().Refresh())
		d.as.RevokeAccess()
		said = "This session was ended elsewhere, as by an administrator."
	case stateUp:
		d.as.Fail(nil)
	case stateSlow:
		d.as.Fail(authtest.After(late(slowness)))
	case stateDown:
		d.as.Fail(authtest.Answer(http.StatusServiceUnavailable, nil, ""))
	default:
		http.NotFound(w, r)
		return
	}
	if said == "" {
		d.now.Store(r.PathValue("control"))
		said = "The authorization server is " + d.state() + " from now on."
	}
	now := d.counted()
	d.timeline.add(entry{Kind: kindDemo, Counts: &now}, time.Time{}, "%s", said)
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	d.serveCounts(w, r)
}

// serveCounts says how far things are.
func (d *demo) serveCounts(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(d.timeline.state())
}

// late lets the real answer wait.
func late(d time.Duration) authtest.Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case <-time.After(d):
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}
