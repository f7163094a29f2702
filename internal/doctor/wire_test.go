package doctor

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Nor is anything revoked that was not announced.
func TestNothingIsRevokedThatWasNotPlanned(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	w := &wire{base: &http.Transport{DisableKeepAlives: true}, secrets: &secrets{}}
	w.allow(0, 1)
	for i := range 2 {
		form := url.Values{"token": {"a-token"}}
		ctx := context.WithValue(t.Context(), revoking, true)
		req, err := http.NewRequestWithContext(ctx, "POST", srv.URL, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := w.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		if errors.Is(err, errNotPlanned) != (i > 0) {
			t.Errorf("revocation %d: %v", i+1, err)
		}
	}
	if w.spent.Revocations != 1 {
		t.Errorf("%+v", w.spent)
	}
}

// No more is presented than was allowed, whatever the checks do.
func TestNothingIsPresentedThatWasNotPlanned(t *testing.T) {
	arrived := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { arrived++ }))
	defer srv.Close()
	base := &http.Transport{DisableKeepAlives: true}
	for name, cookie := range map[string]string{"a grant": "", "a cookie": "refreshToken"} {
		w := &wire{base: base, secrets: &secrets{}, cookie: cookie}
		w.allow(2, 1)
		arrived = 0
		var errs []error
		for _, token := range []string{"one", "two", madeUp + "none", "three"} {
			form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
			req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL, strings.NewReader(form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			req.AddCookie(&http.Cookie{Name: "refreshToken", Value: token})
			resp, err := w.RoundTrip(req)
			if err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			errs = append(errs, err)
		}
		if errs[0] != nil || errs[1] != nil || errs[2] != nil || !errors.Is(errs[3], errNotPlanned) {
			t.Errorf("%s: %v", name, errs)
		}
		if arrived != 3 || w.spent.Presentations != 2 || w.spent.MadeUp != 1 {
			t.Errorf("%s: %d arrived, and counted were %+v", name, arrived, w.spent)
		}
	}
}
