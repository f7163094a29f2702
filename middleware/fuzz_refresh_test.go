package middleware_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// FuzzRefreshHandler: whatever a page, a script or a form says, the
// RefreshHandler presents one refresh token at the most, none at all for another
// origin, another method or a token that has been replaced, leads nowhere else,
// and tells nobody a token (T-F1, T-F2, T-G3, T-H2).
func FuzzRefreshHandler(f *testing.F) {
	const form = "application/x-www-form-urlencoded"
	f.Add("POST", "", "", "", "same-origin", "", "empty")
	f.Add("POST", form, "next=%2Forders&spent=AAAAAAAAAAAAAAAAAAAAAA", "", "same-origin", "http://bff.test", "document")
	f.Add("POST", form, "next=%2F%2Fevil.test", "x", "", "", "document")
	f.Add("POST", form, "spent=%zz&next=/;a", "\u00e4", "none", "", "iframe")
	f.Add("POST", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"next\"\r\n\r\n/a\r\n--x--", "", "same-origin", "", "document")
	f.Add("POST", "multipart/form-data", "--", "", "same-origin", "", "document")
	f.Add("POST", "text/plain", "next=/", "", "cross-site", "https://evil.test", "document")
	f.Add("POST", form, strings.Repeat("a", 70<<10), "", "same-site", "null", "empty")
	f.Add("GET", "", "", "AAAAAAAAAAAAAAAAAAAAAA", "same-origin", "", "document")
	f.Add("OPTIONS", "", "", "", "cross-site", "https://evil.test", "")
	f.Fuzz(func(t *testing.T, method, contentType, body, spent, site, from, dest string) {
		for _, live := range []bool{true, false} {
			ask(t, live, nil, method, contentType, body, http.Header{
				"Rebearer-Spent": {spent}, "Sec-Fetch-Site": {site}, "Origin": {from}, "Sec-Fetch-Dest": {dest}})
		}
		for _, why := range []reason.Reason{reason.Refused, reason.Unavailable, reason.ClientRefused} {
			ask(t, false, &tokencache.Error{Reason: why, Status: 400, Code: "canary"}, method, contentType, body, http.Header{
				"Rebearer-Spent": {spent}, "Sec-Fetch-Site": {site}, "Origin": {from}, "Sec-Fetch-Dest": {dest}})
		}
	})
}

type counting struct {
	presented atomic.Int32
	fails     *tokencache.Error
}

func (c *counting) Refresh(context.Context, tokencache.Token) (tokencache.Token, error) {
	c.presented.Add(1)
	if c.fails != nil {
		return tokencache.Token{}, c.fails
	}
	return tokencache.NewToken(tokencache.TokenFields{Access: "canary-access-next", Refresh: "canary-refresh-next"}), nil
}

func ask(t *testing.T, live bool, fails *tokencache.Error, method, contentType, body string, header http.Header) {
	r, err := http.NewRequest(method, "http://bff.test/auth/refresh", strings.NewReader(body))
	if err != nil {
		return // no client can send it
	}
	r.Header, r.RequestURI = header, "/auth/refresh"
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Cookie", "access=canary-access; refresh=canary-refresh")
	if !live {
		r.Header.Set("Cookie", "refresh=canary-refresh")
	}
	server := &counting{fails: fails}
	a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{Refresher: server}, Cookies: middleware.Cookies{InsecureNoTLS: true}}
	elsewhere := r.Method != "POST" || new(http.CrossOriginProtection).Check(r) != nil
	rec := httptest.NewRecorder()
	a.RefreshHandler().ServeHTTP(rec, r)
	a.Coordinator.Wait(context.Background())

	presented := int(server.presented.Load())
	said := header.Get("Rebearer-Spent")
	if said == "" {
		said = r.PostFormValue("spent")
	}
	want := 1
	if elsewhere || live && said != "" && said != fingerprintOf("canary-access") {
		want = 0
	}
	if presented != want {
		t.Errorf("%s from %q of %q, spent %q: %d presentations, want %d", method, header["Sec-Fetch-Site"], header["Origin"], said, presented, want)
	}
	codes := map[reason.Reason][]int{"": {204, 303}, reason.Refused: {401, 303}, reason.Unavailable: {503}, reason.ClientRefused: {500}}
	why := reason.Reason("")
	if fails != nil {
		why = fails.Reason
	}
	if codes := codes[why]; !elsewhere && !slices.Contains(codes, rec.Code) || elsewhere && rec.Code != 403 && rec.Code != 405 {
		t.Errorf("%s: %d %s", method, rec.Code, rec.Body)
	}
	checkAnswer(t, rec, elsewhere || presented == 0 || fails != nil && !fails.Reason.Ends())
}

// fingerprintOf is how a page names an access token.
func fingerprintOf(access string) string {
	sum := sha256.Sum256([]byte("rebearer spent " + access))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// checkAnswer looks at what every answer of ours has to be like.
func checkAnswer(t *testing.T, rec *httptest.ResponseRecorder, cookieless bool) {
	t.Helper()
	h := rec.Header().Clone()
	if cookieless && len(h["Set-Cookie"]) > 0 {
		t.Errorf("%d sets %q", rec.Code, h["Set-Cookie"])
	}
	if h.Get("Cache-Control") != "private, no-store" {
		t.Errorf("%d may be stored: %q", rec.Code, h.Get("Cache-Control"))
	}
	if to := h.Get("Location"); to != "" && !here(to) {
		t.Errorf("%d leads to %q", rec.Code, to)
	}
	h.Del("Set-Cookie")
	if out := fmt.Sprint(h, rec.Body); strings.Contains(out, "canary") {
		t.Errorf("%d tells a token: %s", rec.Code, out)
	}
}

// here reports whether a browser that is sent to the Location stays on the host.
func here(location string) bool {
	plain, _, _ := strings.Cut(location, "?")
	for range 3 { // whoever is on the way may decode it
		if plain == "" || plain[0] != '/' || len(plain) > 1 && (plain[1] == '/' || plain[1] == '\\') ||
			strings.ContainsFunc(plain, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' }) || strings.HasPrefix(path.Clean(plain), "//") {
			return false
		}
		decoded, err := url.PathUnescape(plain)
		if err != nil {
			break
		}
		plain = decoded
	}
	return true
}
