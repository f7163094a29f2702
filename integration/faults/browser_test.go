//go:build unix

package faults

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/authtest"
)

// browser is a user with a jar of cookies and some tabs.
type browser struct {
	world  *world
	user   string
	client *http.Client

	mu      sync.Mutex // held for reading by each tab, for writing to sign in
	session *family
	leaving atomic.Bool
	tabs    sync.RWMutex
}

// outcome is what a user sees of a request: "" if it is as it should be.
type outcome string

// loggedOut says that the BFF wants a sign-in.
const loggedOut = "login required"

func newBrowser(w *world, user string) *browser {
	jar, _ := cookiejar.New(nil)
	return &browser{world: w, user: user, client: &http.Client{
		Jar: jar, Transport: w.clean, Timeout: time.Minute,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if r.URL.Path == "/login" || len(via) > 3 {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}}
}

// signIn starts a session, in no other tab's way.
func (b *browser) signIn(ctx context.Context) {
	b.tabs.Lock()
	defer b.tabs.Unlock()
	token := b.world.as.SignIn(b.user)
	b.session = b.world.ledger.signIn(b.user, token.Refresh())
	b.leaving.Store(false)
	form := url.Values{"access": {token.Access()}, "refresh": {token.Refresh()}}
	resp, err := b.do(ctx, http.MethodPost, "/signin", strings.NewReader(form.Encode()), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	if err != nil {
		b.world.unexpected(ctx, "%s: the sign-in: %v", b.user, err)
		return
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.world.unexpected(ctx, "%s: the sign-in: %d", b.user, resp.StatusCode)
	}
}

// do sends a request to either replica, as a script of a page does.
func (b *browser) do(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	replica := b.world.replicas[rand.IntN(len(b.world.replicas))]
	req, err := http.NewRequestWithContext(ctx, method, "http://"+replica.addr+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Sec-Fetch-Mode", "cors")
	req.Header.Set("Sec-Fetch-Dest", "empty")
	for name, values := range header {
		req.Header[name] = values
	}
	b.world.requests.Add(1)
	return b.client.Do(req)
}

var navigation = http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Accept": {"text/html"}}

// tab goes on clicking until the users are told to stop.
func (b *browser) tab(ctx context.Context, r *rand.Rand) {
	for b.world.clicks(ctx) {
		b.world.rest(ctx, time.Duration(300+r.IntN(1700))*time.Millisecond)
		if !b.world.clicks(ctx) {
			return
		}
		b.click(ctx, r)
	}
}

func (b *browser) click(ctx context.Context, r *rand.Rand) {
	b.tabs.RLock()
	session := b.session
	var kind string
	var came outcome
	switch n := r.IntN(100); {
	case n < 40:
		kind, came = "page", b.page(ctx, 2+r.IntN(3), navigation)
	case n < 70:
		kind, came = "fetch", b.page(ctx, 2+r.IntN(3), nil)
	case n < 90:
		kind, came = "post", b.comment(ctx, r)
	case n < 98:
		kind, came = "stream", b.stream(ctx)
	default:
		kind, came = "logout", b.logout(ctx)
	}
	left := b.leaving.Load()
	b.tabs.RUnlock()
	if ctx.Err() != nil {
		return
	}
	b.world.saw(kind, came)
	switch {
	case left:
		b.again(ctx, session)
	case strings.HasPrefix(string(came), loggedOut):
		b.world.loseSession(loss{user: b.user, family: session, why: string(came), at: time.Now()})
		b.again(ctx, session)
	}
}

// again signs in, unless another tab has done so.
func (b *browser) again(ctx context.Context, old *family) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tabs.RLock()
	done := b.session != old
	b.tabs.RUnlock()
	if !done {
		b.signIn(ctx)
	}
}

// page loads one that makes n calls.
func (b *browser) page(ctx context.Context, n int, as http.Header) outcome {
	resp, text, failed := b.load(ctx, http.MethodGet, fmt.Sprint("/page?n=", n), nil, as)
	if failed != "" {
		return failed
	}
	var answers []answer
	if err := json.Unmarshal(text, &answers); err != nil || len(answers) != n {
		return outcome(fmt.Sprintf("%d with %q", resp.StatusCode, text))
	}
	for _, a := range answers {
		b.check(a)
	}
	return ""
}

// check fails the test if an answer is somebody else's.
func (b *browser) check(a answer) {
	if a.Subject != b.user || a.User != b.user {
		b.world.wrong.Add(1)
		b.world.t.Errorf("%s was given what belongs to %q and %q", b.user, a.Subject, a.User)
	}
}

// comment posts a body, which is to come back.
func (b *browser) comment(ctx context.Context, r *rand.Rand) outcome {
	id := fmt.Sprint(b.user, "-", b.world.serial.Add(1))
	body := bytes.Repeat([]byte(id+" "), 1+r.IntN(2000))
	path := "/comment?id=" + id
	if r.IntN(2) == 0 {
		path += "&whole=1"
	}
	resp, echo, failed := b.load(ctx, http.MethodPost, path, body, nil)
	if failed != "" {
		return failed
	}
	if !bytes.Equal(echo, body) || resp.Header.Get(authtest.UserHeader) != b.user {
		b.world.wrong.Add(1)
		b.world.t.Errorf("%s posted %d bytes, and %d of %q came back", b.user, len(body), len(echo), resp.Header.Get(authtest.UserHeader))
	}
	b.world.posted(id)
	return ""
}

// stream reads what comes in pieces.
func (b *browser) stream(ctx context.Context) outcome {
	_, text, failed := b.load(ctx, http.MethodGet, "/stream", nil, nil)
	if failed != "" {
		return failed
	}
	lines := json.NewDecoder(bytes.NewReader(text))
	for i := range 4 {
		var a answer
		switch err := lines.Decode(&a); {
		case err != nil:
			return "a stream that ends early"
		case a.Failed == "refused", a.Failed == "ambiguous", a.Failed == "subject_changed", a.Failed == "logged_out", a.Failed == "replaced":
			return outcome(loggedOut + " (" + a.Failed + ") in a stream")
		case a.Failed != "":
			return outcome(a.Failed + " in a stream")
		case i > 0:
			b.check(a)
		}
	}
	return ""
}

// logout leaves while other tabs may be loading.
func (b *browser) logout(ctx context.Context) outcome {
	b.leaving.Store(true)
	resp, err := b.do(ctx, http.MethodPost, "/logout", nil, nil)
	if err != nil {
		return outcome("no answer: " + err.Error())
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode >= 400 {
		return outcome(fmt.Sprint(resp.StatusCode))
	}
	return ""
}

// load sends a request, asks for new tokens where the answer says that only a
// browser can get them, and reads what came. A fetch does so once, and a page that
// loads itself again gives up after the second time, as with our script.
func (b *browser) load(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response, []byte, outcome) {
	for try := 0; ; try++ {
		resp, err := b.do(ctx, method, path, bytes.NewReader(body), header)
		if err != nil {
			return nil, nil, outcome("no answer: " + err.Error())
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			return nil, nil, outcome("half an answer: " + err.Error())
		case resp.StatusCode == http.StatusOK:
			return resp, text, ""
		}
		spent, page := spentOf(resp, text)
		switch {
		case spent == "", try > 0 && !page:
			return nil, nil, b.failure(resp, text)
		case try > 1:
			return nil, nil, "the third page in a row that renews"
		}
		if failed := b.refresh(ctx, spent); failed != "" {
			return nil, nil, failed
		}
	}
}

// spentOf returns the token that an answer names as spent, and whether it is a
// page that says so.
func spentOf(resp *http.Response, text []byte) (spent string, page bool) {
	if _, rest, ok := strings.Cut(resp.Header.Get("WWW-Authenticate"), `spent="`); ok {
		return strings.TrimSuffix(rest, `"`), false
	}
	_, rest, _ := strings.Cut(string(text), `data-spent="`)
	spent, _, page = strings.Cut(rest, `"`)
	return spent, page
}

// refresh does what the script for the browser does.
func (b *browser) refresh(ctx context.Context, spent string) outcome {
	resp, err := b.do(ctx, http.MethodPost, "/auth/refresh", nil, http.Header{"Rebearer-Spent": {spent}})
	if err != nil {
		return outcome("no answer: " + err.Error())
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return b.failure(resp, text) + " of the refresh endpoint"
	}
	return ""
}

// failure names what a user is told.
func (b *browser) failure(resp *http.Response, text []byte) outcome {
	var p struct {
		Reason string
		Detail string
	}
	json.Unmarshal(text, &p)
	location, _ := resp.Location()
	switch {
	case location != nil && location.Path == "/login":
		return loggedOut + " (a page)"
	case resp.StatusCode == http.StatusUnauthorized && p.Reason == "" && len(b.client.Jar.Cookies(resp.Request.URL)) > 0:
		return "401 (no reason, and the cookies are there)" // the API rejects what was just issued
	case resp.StatusCode == http.StatusUnauthorized && resp.Header.Get("WWW-Authenticate") == "Rebearer":
		return outcome(loggedOut + " (" + cmp.Or(p.Reason, "no reason") + ")")
	case p.Reason != "":
		return outcome(fmt.Sprintf("%d (%s)", resp.StatusCode, p.Reason))
	case strings.Contains(string(text), "just now. You are still signed in"):
		return outcome(fmt.Sprintf("%d (a page: still signed in)", resp.StatusCode))
	}
	return outcome(fmt.Sprintf("%d", resp.StatusCode))
}
