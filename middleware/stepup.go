package middleware

import (
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// StepUp returns what a login request is to ask the authorization server for
// beside the usual, because an API wants a stronger or more recent sign-in (RFC
// 9470) or more scope: the parameters acr_values, max_age and scope, as far as
// they were said. The login handler adds them to its authorization request, the
// scope to its own. For most logins there are none.
//
// Anybody can make up the link that they come from. So they are checked to be
// what RFC 6749 appendix A.4 and OpenID Connect Core section 3.1.2.1 allow, and
// short. What they ask for is the authorization server's to grant, and the
// user's: a program that does not want to ask for every scope compares them with
// a list of its own.
func StepUp(r *http.Request) url.Values {
	v := url.Values{}
	put(v, "acr_values", strings.SplitSeq(r.FormValue("acr_values"), " "))
	if n, err := strconv.ParseUint(r.FormValue("max_age"), 10, 32); err == nil {
		v.Set("max_age", strconv.FormatUint(n, 10))
	}
	put(v, "scope", strings.SplitSeq(r.FormValue("scope"), " "))
	return v
}

// demand returns the same of an error. What an API's challenge says is no more
// to be trusted than a link.
func demand(e *tokencache.StepUpError) url.Values {
	v := url.Values{}
	put(v, "acr_values", slices.Values(e.ACRValues))
	if e.MaxAge >= 0 {
		v.Set("max_age", strconv.FormatInt(min(int64(e.MaxAge/time.Second), 1<<32-1), 10))
	}
	put(v, "scope", slices.Values(e.Scope))
	return v
}

// maxDemand is more than any API asks for in one parameter, in bytes.
const maxDemand = 1024

// put sets a parameter to the first words, as many as are short enough together.
func put(v url.Values, name string, words iter.Seq[string]) {
	var all []string
	size := 0
	for word := range words {
		if !scopeToken(word) {
			continue
		}
		if size += len(word) + 1; size > maxDemand {
			break
		}
		all = append(all, word)
	}
	if len(all) > 0 {
		v.Set(name, strings.Join(all, " "))
	}
}

// scopeToken is that of RFC 6749 section 3.3.
func scopeToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// demanded is what the problem of a step-up has beside the usual members.
type demanded struct {
	ACRValues []string `json:"acr_values,omitempty"`
	MaxAge    *int64   `json:"max_age,omitempty"`
	Scope     []string `json:"scope,omitempty"`
	// Login is where the page is to navigate.
	Login string `json:"login,omitempty"`
	// Again is the same, but for a link that a person may follow: the page has
	// just been there.
	Again string `json:"again,omitempty"`
}

func problemOf(asked url.Values) *demanded {
	d := &demanded{ACRValues: strings.Fields(asked.Get("acr_values")), Scope: strings.Fields(asked.Get("scope"))}
	if n, err := strconv.ParseInt(asked.Get("max_age"), 10, 64); err == nil {
		d.MaxAge = &n
	}
	return d
}

// stepUp has somebody sign in again. The session is not over. A program is told
// by 403: its callers take a 401 for the end of the access token, or of the
// session, and a refresh would not help.
//
// An authorization server that cannot do better, or a login page that does not
// pass on what is asked for, leads back to where the same is demanded again. So
// the browser keeps in a cookie what it was sent away for, and is not sent away
// for it a second time: there is a page, with a link that begins anew.
func (s *session) stepUp(w http.ResponseWriter, r *http.Request, e *tokencache.StepUpError) {
	asked := demand(e)
	p := problem{status: http.StatusForbidden, reason: "insufficient_user_authentication", demanded: problemOf(asked),
		detail: "This needs a stronger or more recent sign-in than yours."}
	if e.Code == "insufficient_scope" {
		p.reason, p.detail = "insufficient_scope", "This needs more rights than your sign-in gave."
	}
	visit := s.kind.navigation && !s.kind.passive
	login, round := s.auth.stepUpFor(r, visit, asked), roundOf(asked, visit)
	vain := s.vain(round)
	if vain && !s.kind.passive {
		p.detail += " Signing in again has not changed that."
		s.auth.log(r, slog.LevelWarn, "a step-up was in vain", "asked", asked.Encode())
	}
	switch {
	case s.kind.passive: // nobody would follow
		p.write(w)
	case visit && vain:
		s.forget(round)
		p.here = login
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			p.here = "" // itself
		}
		s.problem(w, r, p)
	case visit:
		s.remember(round, e.MaxAge)
		own(w.Header())
		w.Header().Set("Location", login)
		w.WriteHeader(http.StatusSeeOther)
	case vain:
		p.demanded.Again = login
		p.write(w)
	default:
		s.remember(round, e.MaxAge)
		p.demanded.Login = login
		w.Header().Set("WWW-Authenticate", `Rebearer login="`+strings.ReplaceAll(login, `"`, "%22")+`"`)
		p.write(w)
	}
}

// stepUpFor returns the URL of the login page with what is asked for. It leads
// back to the request if that is a page, else to the page that made it.
func (a *Authenticator) stepUpFor(r *http.Request, visit bool, asked url.Values) string {
	to := a.loginFor(r)
	if !visit {
		next := "/"
		if u, err := url.Parse(r.Referer()); err == nil && u.Host == r.Host {
			if t, ok := target(u.RequestURI()); ok {
				next = t
			}
		}
		to = a.loginURL() + "?next=" + url.QueryEscape(next)
	}
	if len(asked) > 0 {
		to += "&" + asked.Encode()
	}
	return to
}
