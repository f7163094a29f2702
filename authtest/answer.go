package authtest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
)

// Answer returns a [Fault] that answers with the status, header and body. If
// header is nil or names no Content-Type, a JSON body is called JSON.
func Answer(status int, header http.Header, body string) Fault {
	header = header.Clone()
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if json.Valid([]byte(body)) {
			w.Header().Set("Content-Type", "application/json")
		}
		maps.Copy(w.Header(), header)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// RetryAfter returns a [Fault] that answers with the status, such as 429 or 503,
// and a Retry-After header: seconds or a date (RFC 9110 section 10.2.3).
func RetryAfter(status int, when string) Fault {
	return Answer(status, http.Header{"Retry-After": {when}}, "")
}

// Redirect returns a [Fault] that answers 307 with another URL.
func Redirect(to string) Fault {
	return Answer(http.StatusTemporaryRedirect, http.Header{"Location": {to}}, "")
}

// HTML answers 200 with the page that a proxy puts in front of everything.
func HTML(w http.ResponseWriter, r *http.Request, next http.Handler) {
	const page = "<!doctype html><title>Sign in</title><p>You are on a captive network."
	Answer(http.StatusOK, http.Header{"Content-Type": {"text/html; charset=utf-8"}}, page)(w, r, next)
}

// Empty answers 200 with nothing.
func Empty(w http.ResponseWriter, r *http.Request, next http.Handler) {
	Answer(http.StatusOK, nil, "")(w, r, next)
}

// NoAccessToken answers 200 with JSON that lacks the access token.
func NoAccessToken(w http.ResponseWriter, r *http.Request, next http.Handler) {
	Answer(http.StatusOK, nil, `{"token_type":"Bearer","expires_in":300}`)(w, r, next)
}

// hugeLength is more than anybody should read of a token answer.
const hugeLength = 10 << 20

// huge reads as well-formed JSON in both styles, so that only a limit stops it.
func huge() io.Reader {
	return io.MultiReader(
		strings.NewReader(`{"token_type":"Bearer","expires_in":300,"access_token":"huge","accessToken":"huge","padding":"`),
		io.LimitReader(padding{}, hugeLength),
		strings.NewReader(`"}`),
	)
}

// padding reads as the letter x without end.
type padding struct{}

var xs = strings.Repeat("x", 32<<10)

func (padding) Read(p []byte) (int, error) { return copy(p, xs), nil }

// Huge answers 200 with 10 MiB of JSON that has an access token.
func Huge(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.Header().Set("Content-Type", "application/json")
	io.Copy(w, huge())
}

// GzipBomb answers as Huge does, in some 10 KiB of gzip, whether the client
// asked for that or not.
func GzipBomb(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	w.Write(bomb())
}

var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.Copy(z, huge())
	z.Close()
	return b.Bytes()
})
