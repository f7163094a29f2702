package middleware_test

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"testing"
)

// B82: a cookie without a name comes back as its value alone (RFC 6265bis section
// 5.8.3), so that it may be one of ours; Chromium refuses such a one since version
// 148 only.
func TestNobodySetsOurCookiesWithoutAName(t *testing.T) {
	w := start(t)
	b := w.pages(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for _, line := range []string{"=refresh=evil; Path=/", " = access=evil", "=rebearer=evil", "refresh", "theme=dark", "=refreshed=1", "bare"} {
			rw.Header().Add("Set-Cookie", line)
		}
	})).browser()
	b.signedIn("ada")
	if got := b.visit("/").Header["Set-Cookie"]; len(got) != 3 {
		t.Errorf("%q", got)
	}
}

// B82: a ReverseProxy passes on the informational responses of an upstream, too,
// and a browser may keep their cookies (RFC 6265 section 3).
func TestNobodySetsOurCookiesBeforeTheResponse(t *testing.T) {
	w := start(t)
	b := w.pages(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Add("Set-Cookie", "refresh=evil")
		rw.Header().Add("Link", "</style.css>; rel=preload")
		rw.WriteHeader(http.StatusEarlyHints)
		io.WriteString(rw, "page")
	})).browser()
	b.signedIn("ada")
	hints := 0
	req, _ := http.NewRequest("GET", b.URL+"/", nil)
	req.Header = navigating.Clone()
	resp, err := b.http.Do(req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
			hints++
			if len(h["Set-Cookie"]) > 0 || h.Get("Link") == "" {
				t.Errorf("%v", h)
			}
			return nil
		}})))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if hints != 1 || len(resp.Cookies()) > 0 {
		t.Errorf("%d hints, %v", hints, resp.Cookies())
	}
}
