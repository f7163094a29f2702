package recipes_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// refresh calls the API, whose 401 has the token refreshed in mid-request.
func (w *world) refresh(r *http.Request) error {
	_, err := w.rest.R(r.Context()).Get("/users/me")
	return err
}

// want sends one request, whose answer must have the status and the new
// cookies, once.
func (b *browser) want(path string, status int, body string) answer {
	b.w.t.Helper()
	a := b.must(b.get(path), status, body)
	if !a.sets() || len(a.Header["Set-Cookie"]) != 2 {
		b.w.t.Errorf("%s: Set-Cookie %q", path, a.Header["Set-Cookie"])
	}
	b.once()
	return a
}

// echoes opens a WebSocket and sends a message, which must come back. It
// returns the answer to the handshake.
func (b *browser) echoes(path string, h http.Header) *http.Response {
	b.w.t.Helper()
	ctx := b.w.t.Context()
	url := "ws" + strings.TrimPrefix(b.URL, "http") + path
	conn, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: b.http, HTTPHeader: h})
	if err != nil {
		b.w.t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		b.w.t.Fatal(err)
	}
	if _, got, err := conn.Read(ctx); err != nil || string(got) != "hello" {
		b.w.t.Fatal(string(got), err)
	}
	conn.Close(websocket.StatusNormalClosure, "")
	return resp
}

// serveEcho is the other side of echoes.
func serveEcho(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has been answered
	}
	defer conn.CloseNow()
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if conn.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

// upgraded checks a handshake during which the token was refreshed.
func (b *browser) upgraded(resp *http.Response) {
	b.w.t.Helper()
	if a := (answer{Response: resp}); resp.StatusCode != http.StatusSwitchingProtocols || !a.sets() {
		b.w.t.Errorf("%s, Set-Cookie %q", resp.Status, resp.Header["Set-Cookie"])
	}
	b.once()
}

// B52
func TestAWebSocketOfOurOwnHasTheCookiesOnIts101(t *testing.T) {
	w := start(t)
	b := w.browse(w.auth.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.refresh(r)
		serveEcho(rw, r)
	})))
	b.upgraded(b.echoes("/", nil))
}
