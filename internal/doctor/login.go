package doctor

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport/dpop"
)

const (
	maxLogins  = 9
	maxWaiting = 10 * time.Minute // for somebody to sign in
)

// logIn has a browser make sessions, by the authorization code flow with PKCE
// (RFC 7636) to a loopback address (RFC 8252 section 7.3). It does not go on from
// one to the next by itself: there are servers on which two sign-ins of one
// browser are one grant, which then ends as one.
func (d *Doctor) logIn(ctx context.Context) error {
	if d.config.Logins == 0 {
		return nil
	}
	if d.metadata.AuthorizeURL == "" {
		return errors.New("the metadata name no authorization endpoint to sign in at")
	}
	l, callback, err := listen(d.config.RedirectURL)
	if err != nil {
		return err
	}
	in := &signIn{doctor: d, callback: callback, ctx: ctx, done: make(chan error, 1)}
	srv := &http.Server{Handler: in, ReadHeaderTimeout: 5 * time.Second}
	go srv.Serve(l)
	defer srv.Close()
	d.say("Sign in %d time(s), as one test user but each time in another private window, at\n\n    http://%s/\n", d.config.Logins, l.Addr())
	ctx, cancel := context.WithTimeout(ctx, maxWaiting)
	defer cancel()
	select {
	case err = <-in.done:
		// The browser's last page is on its way.
		shut, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		srv.Shutdown(shut)
		return err
	case <-ctx.Done():
		return errors.New("nobody has signed in")
	}
}

// listen takes the port of the redirect URL, or any.
func listen(redirect string) (net.Listener, *url.URL, error) {
	if redirect == "" {
		redirect = "http://127.0.0.1/callback"
	}
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" || u.Hostname() != "127.0.0.1" && u.Hostname() != "localhost" {
		return nil, nil, errors.New("the redirect URL has to be of http://127.0.0.1 or http://localhost, and registered for the client")
	}
	port := or(u.Port(), "0")
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, nil, fmt.Errorf("no port for the redirect URL: %w", err)
	}
	if u.Port() == "" {
		u.Host = fmt.Sprintf("%s:%d", u.Hostname(), l.Addr().(*net.TCPAddr).Port)
	}
	return l, u, nil
}

// signIn serves the browser, one sign-in at a time.
type signIn struct {
	doctor   *Doctor
	callback *url.URL
	ctx      context.Context // of the whole, since a browser may leave early
	done     chan error

	mu              sync.Mutex // a browser may come twice at a time
	state, verifier string
	key             crypto.Signer
	made            int
}

// ServeHTTP implements http.Handler.
func (s *signIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	switch {
	case r.Method != http.MethodGet:
		http.Error(w, "GET", http.StatusMethodNotAllowed)
	case r.URL.Path == s.callback.Path && r.URL.Query().Has("state"):
		s.finish(w, r)
	case r.URL.Path == "/":
		s.begin(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *signIn) begin(w http.ResponseWriter, r *http.Request) {
	d := s.doctor
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.verifier = rand.Text(), rand.Text()+rand.Text()
	challenge := sha256.Sum256([]byte(s.verifier))
	to, err := url.Parse(d.metadata.AuthorizeURL)
	if err != nil {
		http.Error(w, "no authorization endpoint", http.StatusBadGateway)
		return
	}
	q := to.Query()
	for name, value := range map[string]string{
		"response_type": "code", "client_id": d.config.ClientID, "redirect_uri": s.callback.String(), "state": s.state,
		"scope": or(d.config.Scope, "openid offline_access"), "resource": d.config.Resource,
		"prompt":         "consent", // else OpenID Connect ignores offline_access (Core section 11)
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if d.prover != nil {
		if s.key, err = d.prover.NewKey(); err == nil {
			var jkt string
			jkt, err = dpop.Thumbprint(s.key)
			q.Set("dpop_jkt", jkt)
		}
		if err != nil {
			http.Error(w, "no DPoP key", http.StatusInternalServerError)
			return
		}
	}
	to.RawQuery = q.Encode()
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

func (s *signIn) finish(w http.ResponseWriter, r *http.Request) {
	d, q := s.doctor, r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == "" || q.Get("state") != s.state {
		http.Error(w, "This sign-in began elsewhere, or is over.", http.StatusBadRequest)
		return
	}
	s.state = "" // good for once
	var err error
	switch {
	case (q.Has("iss") || d.metadata.IssInAnswer) && q.Get("iss") != d.metadata.Issuer: // RFC 9207 section 2.4
		err = errors.New("the answer to the sign-in is another server's")
	case q.Get("code") == "":
		err = fmt.Errorf("nobody was signed in: %s", or(plain(q.Get("error")), "no error code"))
	default:
		err = s.redeem(q.Get("code"))
	}
	if err != nil {
		http.Error(w, "The sign-in failed. See the terminal.", http.StatusBadGateway)
		s.done <- err
		return
	}
	if s.made++; s.made < d.config.Logins {
		fmt.Fprintf(w, "Signed in, %d of %d. Close this window, and go on in another private one.", s.made, d.config.Logins)
		return
	}
	io.WriteString(w, "Signed in. This page can be closed.")
	s.done <- nil
}

// redeem exchanges the code, once.
func (s *signIn) redeem(code string) error {
	d := s.doctor
	d.secrets.add(code)
	d.secrets.add(s.verifier)
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {s.callback.String()}, "code_verifier": {s.verifier},
	}
	if d.config.Resource != "" {
		form.Set("resource", d.config.Resource)
	}
	var client http.RoundTripper = d.wire
	if s.key != nil {
		client = d.prover.Client(s.key, d.wire).Transport
	}
	if err := d.post(s.ctx, client, d.metadata.TokenURL, form); err != nil {
		return fmt.Errorf("exchanging the code: %w", err)
	}
	last := d.wire.last
	t := tokencache.TokenFields{Access: last.text("access_token"), Refresh: last.text("refresh_token"), Key: s.key}
	switch {
	case last.status != http.StatusOK || t.Access == "":
		return fmt.Errorf("exchanging the code: the answer was %s", last.answer())
	case t.Refresh == "":
		return errors.New("the sign-in brought no refresh token: try -scope with what asks for one, such as offline_access")
	case s.key != nil && !strings.EqualFold(last.text("token_type"), "DPoP"):
		return errors.New("the sign-in brought tokens that are not bound by DPoP")
	}
	d.sessions = append(d.sessions, tokencache.NewToken(t))
	return nil
}
