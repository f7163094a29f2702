package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// site is where the calls of one contender go.
type site struct {
	url    string            // of the API, without a path
	base   http.RoundTripper // leads there
	user   *user
	bodies atomic.Int64 // bytes of request bodies that the API has read
	close  func()
}

const path = "/users/me"

// answer is what the API says to everything.
const answer = `{"id":4711,"name":"Ada Lovelace","email":"ada@example.com","roles":["reader","editor"]}`

// profile is what answer decodes to.
type profile struct {
	ID    int      `json:"id"`
	Name  string   `json:"name"`
	Email string   `json:"email"`
	Roles []string `json:"roles"`
}

var (
	errStatus = errors.New("the API did not answer 200")
	errAnswer = errors.New("the API's answer is not what was decoded")

	kind      = []string{"application/json"}
	length    = []string{strconv.Itoa(len(answer))}
	challenge = []string{`Bearer error="invalid_token"`}
)

// inMemory returns a site whose base answers at once.
func inMemory(u *user) *site {
	s := &site{url: "https://api.example.com", user: u, close: func() {}}
	s.base = memory{s}
	return s
}

// inTransport returns a site whose base is an *http.Transport, as it is in real
// life, that has been given inMemory's base for a network. It checks the header
// before it hands a request over.
func inTransport(u *user) *site { return behind(inMemory(u)) }

func behind(s *site) *site {
	t := &http.Transport{Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP1(true)
	t.RegisterProtocol("https", s.base)
	s.base = t
	return s
}

// overSockets returns a site that is a server on a loopback address, with its
// own keep-alive connections.
func overSockets(u *user) *site {
	s := &site{user: u}
	server := httptest.NewServer(s)
	base := &http.Transport{MaxIdleConnsPerHost: 64}
	s.url, s.base = server.URL, base
	s.close = func() {
		base.CloseIdleConnections()
		server.Close()
	}
	return s
}

// memory answers without a network. It makes what net/http makes of an answer: a
// Response, its Header and its Body.
type memory struct{ *site }

func (m memory) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := m.swallow(req.Body); err != nil {
		return nil, err
	}
	resp := &http.Response{
		Status: "200 OK", StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": kind, "Content-Length": length}, ContentLength: int64(len(answer)), Request: req,
	}
	b := &body{}
	b.Reset(answer)
	resp.Body = b
	if !m.user.accepts(req.Header) {
		resp.Status, resp.StatusCode = "401 Unauthorized", 401
		resp.Header["Www-Authenticate"] = challenge
	}
	return resp, nil
}

type body struct{ strings.Reader }

func (*body) Close() error { return nil }

// ServeHTTP is the same over a network.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.swallow(r.Body)
	h := w.Header()
	h["Content-Type"], h["Content-Length"] = kind, length
	if !s.user.accepts(r.Header) {
		h["Www-Authenticate"] = challenge
		w.WriteHeader(401)
	}
	io.WriteString(w, answer)
}

// buffers are what request bodies are read into: as a connection does, and not
// by WriteTo.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// swallow reads a request body to its end and closes it.
func (s *site) swallow(b io.ReadCloser) error {
	if b == nil || b == http.NoBody {
		return nil
	}
	buffer := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buffer)
	defer b.Close()
	for {
		n, err := b.Read(buffer[:])
		s.bodies.Add(int64(n))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// inStill returns a site whose base answers with the same Response each time, so
// that what a RoundTrip costs is not hidden by what an answer costs. It is for one
// goroutine.
func inStill(u *user) *site {
	return &site{url: "https://api.example.com", user: u, close: func() {}, base: &still{
		user: u, resp: http.Response{Status: "200 OK", StatusCode: 200, Header: http.Header{"Content-Type": kind}, Body: http.NoBody},
	}}
}

// inStillTransport is inStill behind an *http.Transport.
func inStillTransport(u *user) *site { return behind(inStill(u)) }

type still struct {
	user *user
	resp http.Response
}

func (s *still) RoundTrip(req *http.Request) (*http.Response, error) {
	if !s.user.accepts(req.Header) {
		return nil, errStatus
	}
	return &s.resp, nil
}
