package doctor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// wire is where all requests go through. It keeps the last answer as it came,
// counts what is presented, and lets no more be presented than was allowed.
type wire struct {
	base    http.RoundTripper
	secrets *secrets
	cookie  string // the name of the refresh token's cookie, in that style

	presentations, revocations int // that are allowed still
	spent                      Spent
	last                       exchange
}

// exchange is the last request and its answer.
type exchange struct {
	sent, came time.Time
	status     int // 0: there was no answer
	header     http.Header
	body       []byte
}

// madeUp begins each refresh token that is nobody's.
const madeUp = "rebearer-doctor-made-this-up-"

const maxBody = 1 << 20

var errNotPlanned = errors.New("the plan has no further presentation")

func (w *wire) allow(presentations, revocations int) {
	w.presentations, w.revocations = presentations, revocations
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	w.last = exchange{sent: time.Now()}
	refresh, revoked, err := w.read(req)
	switch {
	case err != nil:
		return nil, err
	case refresh != "" && !strings.HasPrefix(refresh, madeUp):
		if w.presentations == 0 {
			return nil, errNotPlanned
		}
		w.presentations--
	case revoked:
		if w.revocations == 0 {
			return nil, errNotPlanned
		}
		w.revocations--
		w.spent.Revocations++
	}
	resp, err := w.base.RoundTrip(req)
	w.last.came = time.Now()
	if err == nil {
		err = w.keep(resp)
	}
	w.count(refresh, err)
	return resp, err
}

// count counts what a server has looked at: not what found no connection, nor
// what is to be sent again with a nonce (RFC 9449 section 8).
func (w *wire) count(refresh string, err error) {
	made := strings.HasPrefix(refresh, madeUp)
	demanded := err == nil && w.last.answer().Code == "use_dpop_nonce"
	switch {
	case refresh == "":
	case made && !unsent(err): // which is said of each that was sent
		w.spent.MadeUp++
	case made:
	case demanded, unsent(err):
		w.presentations++
	default:
		w.spent.Presentations++
	}
}

// read finds out what a request would spend.
func (w *wire) read(req *http.Request) (refresh string, revoked bool, err error) {
	if req.Method != http.MethodPost {
		return "", false, nil
	}
	var body []byte
	if req.Body != nil {
		body, err = io.ReadAll(req.Body)
		req.Body.Close()
		if err != nil {
			return "", false, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	if w.cookie != "" {
		c, err := req.Cookie(w.cookie)
		if err != nil {
			return "", false, nil
		}
		w.secrets.add(c.Value)
		if req.Context().Value(revoking) != nil {
			return "", true, nil
		}
		return c.Value, false, nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return "", false, err
	}
	for _, name := range []string{"refresh_token", "token", "code", "code_verifier", "client_assertion", "client_secret"} {
		w.secrets.add(form.Get(name))
	}
	if form.Get("grant_type") == "refresh_token" {
		return form.Get("refresh_token"), false, nil
	}
	return "", req.Context().Value(revoking) != nil, nil
}

// unsent reports whether there was no connection to send anything over.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// revoking marks the context of a revocation.
var revoking = &struct{ string }{"revoking"}

// keep reads an answer, and gives it back as if it had not been read.
func (w *wire) keep(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	resp.Body.Close()
	if err != nil {
		return errors.New("the answer broke off")
	}
	w.last.status, w.last.header, w.last.body = resp.StatusCode, resp.Header.Clone(), body
	resp.Body = io.NopCloser(bytes.NewReader(body))
	m := w.last.members()
	for _, name := range []string{"access_token", "refresh_token", "id_token", "accessToken", "refreshToken"} {
		s, _ := m[name].(string)
		w.secrets.add(s)
	}
	for _, c := range resp.Cookies() {
		w.secrets.add(c.Value)
	}
	return nil
}
