package integration

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// signIn is a whole login, as a browser and the client would do it, of a user that
// nobody else is: there are servers where the reuse of one token ends every
// session of its user.
func (as *authServer) signIn(t testing.TB, client string) answer {
	t.Helper()
	return as.signInAs(t, client, newUser())
}

func newUser() string { return "user-" + strings.ToLower(rand.Text()) }

// signInAs is signIn of any user: the servers know them all. It is the
// authorization code flow with PKCE (RFC 7636).
func (as *authServer) signInAs(t testing.TB, client, user string) answer {
	t.Helper()
	verifier, state := rand.Text()+rand.Text(), rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	back := as.browse(t, user, url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {callback},
		"scope": {scope}, "resource": {audience}, "state": {state},
		"prompt":         {"consent"}, // else OpenID Connect ignores offline_access
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	})
	if back.Get("state") != state || back.Get("code") == "" {
		t.Fatalf("signing in to %s as %s: came back with %v", as.Issuer, client, back)
	}
	tok := as.post(t, direct.Transport, as.TokenURL, client, url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Get("code")},
		"redirect_uri": {callback}, "code_verifier": {verifier},
	})
	if tok.Status != http.StatusOK || tok.Access == "" || tok.Refresh == "" || tok.ExpiresIn <= 0 {
		t.Fatalf("exchanging the code at %s as %s: %d %q, expires in %d", as.TokenURL, client, tok.Status, tok.Error, tok.ExpiresIn)
	}
	return tok
}

// browse starts at the authorization endpoint, follows redirects and fills in
// each form it meets, until it is sent back to the callback with these values.
func (as *authServer) browse(t testing.TB, user string, query url.Values) url.Values {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	browser := &http.Client{Jar: jar, Transport: direct.Transport, Timeout: direct.Timeout,
		CheckRedirect: func(to *http.Request, via []*http.Request) error {
			if strings.HasPrefix(to.URL.String(), callback) {
				return http.ErrUseLastResponse
			}
			if len(via) > 10 {
				return errors.New("redirects without end")
			}
			return nil
		}}
	resp, err := browser.Get(as.AuthorizeURL + "?" + query.Encode())
	for range 4 { // login and consent are two
		must(t, err)
		page, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		must(t, err)
		if to, err := resp.Location(); err == nil {
			return to.Query()
		}
		action, fields := form(string(page), user)
		to, err := resp.Request.URL.Parse(action)
		if action == "" || err != nil {
			t.Fatalf("%s: %s, and no form in\n%s", resp.Request.URL, resp.Status, page)
		}
		resp, err = browser.PostForm(to.String(), fields)
		must(t, err)
	}
	t.Fatalf("%s: more forms than a login has", as.AuthorizeURL)
	return nil
}

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
	formInput  = regexp.MustCompile(`<input[^>]*>`)
	inputName  = regexp.MustCompile(` name="([^"]*)"`)
	inputValue = regexp.MustCompile(` value="([^"]*)"`)
)

// form finds a page's form and fills in what is empty: the user's name and,
// since a development login takes any, the same for the password.
func form(page, user string) (action string, fields url.Values) {
	first := func(re *regexp.Regexp, in, otherwise string) string {
		if m := re.FindStringSubmatch(in); m != nil {
			return html.UnescapeString(m[1])
		}
		return otherwise
	}
	fields = url.Values{}
	for _, input := range formInput.FindAllString(page, -1) {
		fields.Set(first(inputName, input, ""), first(inputValue, input, user))
	}
	return first(formAction, page, ""), fields
}
