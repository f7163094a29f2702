package middleware_test

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

var onlyRounds = regexp.MustCompile(`^([A-Za-z0-9_-]{22}(\.[A-Za-z0-9_-]{22}){0,3})?$`)

// FuzzRounds: whatever a browser shows for the rounds that it has been sent on,
// it is sent on a few more at the most before there is a page, and is given
// nothing to keep but rounds (T-G4, T-G5, T-F4).
func FuzzRounds(f *testing.F) {
	round := strings.Repeat("y", 22)
	for _, cookie := range []string{"", ".", round, round + ".", strings.Repeat(round+".", 4), strings.Repeat(round+".", 3) + round, strings.Repeat(".", 92), strings.Repeat("x", 8000),
		`"; Path=/evil`, "<script>", round + "; rebearer=" + round, strings.Repeat("z", 21) + "," + round, "\x00", "\u00e4"} {
		f.Add(cookie, "gold", int64(300), true)
		f.Add(cookie, "a\r\nb", int64(-1), false)
	}
	a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: middleware.Cookies{InsecureNoTLS: true}}
	f.Fuzz(func(t *testing.T, cookie, acr string, age int64, page bool) {
		sent := 0
		for range 12 {
			r := httptest.NewRequest("GET", "/orders", nil)
			if r.Header = fetching.Clone(); page {
				r.Header = navigating.Clone()
			}
			r.Header["Cookie"] = []string{"rebearer=" + cookie}
			rec := httptest.NewRecorder()
			a.Error(rec, r, &tokencache.StepUpError{ACRValues: strings.Fields(acr), MaxAge: time.Duration(age)})
			if rec.Code != 303 && rec.Code != 403 || page != (rec.Header().Get("Content-Type") != "application/problem+json") {
				t.Fatalf("%d %v", rec.Code, rec.Header())
			}
			again := rec.Code == 303 || strings.Contains(rec.Header().Get("WWW-Authenticate"), "login=")
			if !again {
				return // it has come to an end
			}
			if sent++; sent > 5 {
				t.Fatalf("%q: sent away %d times", cookie, sent)
			}
			lines := rec.Result().Cookies()
			if len(lines) != 1 || lines[0].Name != "rebearer" || !onlyRounds.MatchString(lines[0].Value) || len(lines[0].Raw) > 300 {
				t.Fatalf("%q: %v", cookie, rec.Header()["Set-Cookie"])
			}
			cookie = lines[0].Value // as a browser does
		}
	})
}
