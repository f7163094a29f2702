package middleware_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// BenchmarkStaticPage serves a page of 8 KB over loopback, bare and behind the
// Handler with a token that is good, as a browser would ask for it. What counts
// is the ratio of the two in one run:
//
//	go test -run xxx -bench StaticPage -count 6 ./middleware
func BenchmarkStaticPage(b *testing.B) {
	page := strings.NewReader(strings.Repeat("<p>static</p>", 640))
	var size = page.Size()
	static := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "x.html", time.Time{}, io.NewSectionReader(page, 0, size))
	})
	auth := &middleware.Authenticator{
		Coordinator: &tokencache.Coordinator{Refresher: unused{}}, Cookies: middleware.Cookies{InsecureNoTLS: true},
		Verifier: &middleware.Verifier{Algorithms: []string{"HS256"}, Key: secret},
	}
	now := time.Now()
	token := raw(b, `{"alg":"HS256","typ":"at+jwt"}`, fmt.Sprintf(`{"iss":"https://as.example.com","aud":"api","sub":"5f0c7a1e","client_id":"bff","scope":"openid profile orders:read","iat":%d,"exp":%d,"jti":"0f8fad5b-d9cb-469f-a165-70867728950e"}`, now.Unix(), now.Add(time.Hour).Unix()))
	request := "GET /x.html HTTP/1.1\r\nHost: bff.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n" +
		"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\nUpgrade-Insecure-Requests: 1\r\nPriority: u=0, i\r\n" +
		"Cookie: theme=dark; access=" + token + "; refresh=rt_ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n\r\n"
	for name, h := range map[string]http.Handler{"bare": static, "behind": auth.Handler(static)} {
		b.Run(name, func(b *testing.B) {
			s := httptest.NewServer(h)
			defer s.Close()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				conn, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				in := bufio.NewReader(conn)
				for pb.Next() {
					io.WriteString(conn, request)
					resp, err := http.ReadResponse(in, nil)
					if err != nil || resp.StatusCode != 200 {
						b.Error(err)
						return
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		})
	}
}

// BenchmarkHandler is what the Handler costs without a network around it: next
// to nothing behind it, a request as above, a token that was seen before.
func BenchmarkHandler(b *testing.B) {
	a, token := verifying(b)
	r, w := asked("theme=dark; access="+token+"; refresh=rt_ABCDEFGHIJKLMNOPQRSTUVWXYZ"), &sink{http.Header{}}
	h := a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(nil) }))
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

type unused struct{}

func (unused) Refresh(context.Context, tokencache.Token) (tokencache.Token, error) {
	return tokencache.Token{}, io.ErrUnexpectedEOF
}
