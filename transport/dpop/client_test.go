package dpop_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/transport/dpop"
)

// seen is a request as it arrived.
type seen struct {
	proof proof
	body  string
}

// server is an authorization server that answers the n-th request, from 0, as
// answer does.
type server struct {
	*httptest.Server
	mu  sync.Mutex
	all []seen
}

// seen returns the requests so far.
func (s *server) seen() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

func newServer(t testing.TB, answer func(w http.ResponseWriter, n int, got seen)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var got seen
		var err error
		if got.proof, err = read(r.Header); err != nil {
			t.Error(err)
		}
		if want := "http://" + r.Host + r.URL.EscapedPath(); got.proof.htu != want || got.proof.htm != r.Method {
			t.Errorf("a proof of %s %s at %s", got.proof.htm, got.proof.htu, want)
		}
		body, _ := io.ReadAll(r.Body)
		got.body = string(body)
		s.mu.Lock()
		n := len(s.all)
		s.all = append(s.all, got)
		s.mu.Unlock()
		answer(w, n, got)
	}))
	t.Cleanup(s.Close)
	return s
}

// client returns the Client of a Prover, and has its connections closed.
func client(t testing.TB, p *dpop.Prover) *http.Client {
	t.Helper()
	base := &http.Transport{}
	c := p.Client(newKey(t, ""), base)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

const form = "grant_type=authorization_code&code=c"

// T-K1, T-J4
func TestTheClientSendsTheCodeOnceMoreIfTheServerWantsItsNonce(t *testing.T) {
	const want = `{"error":"use_dpop_nonce","error_description":"Authorization server requires nonce in DPoP proof"}`
	refuse := func(status int, header http.Header, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			for name, values := range header {
				w.Header()[http.CanonicalHeaderKey(name)] = values
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	one := http.Header{"DPoP-Nonce": {"n1"}}
	challenged := func(challenge string) http.Header {
		return http.Header{"DPoP-Nonce": {"n1"}, "WWW-Authenticate": {challenge}}
	}
	big := strings.Repeat(" ", 3<<20)
	for _, c := range []struct {
		name   string
		status int
		header http.Header
		body   string
		again  bool
	}{
		{"400 with the code", 400, one, want, true},
		{"401 with the code", 401, one, want, true},
		{"401 with a challenge", 401, challenged(`DPoP error="use_dpop_nonce", algs="ES256"`), "", true},
		{"401 with a challenge beside another", 401, challenged(`Basic realm="x", DPoP error="use_dpop_nonce"`), "<html>", true},
		{"400 with the code and much white space", 400, one, want + big[:1<<19], true},
		{"400 with the code, without a nonce", 400, nil, want, false},
		{"400 with the code and two nonces", 400, http.Header{"DPoP-Nonce": {"n1", "n2"}}, want, false},
		{"400 with too much", 400, one, want[:len(want)-1] + big + "}", false},
		{"400 with another code", 400, one, `{"error":"invalid_grant"}`, false},
		{"400 that calls the proof invalid", 400, one, `{"error":"invalid_dpop_proof"}`, false},
		{"400 with the code elsewhere", 400, one, `{"error":"x","error_description":"use_dpop_nonce"}`, false},
		{"400 with the code in another spelling", 400, one, `{"Error":"use_dpop_nonce"}`, false},
		{"400 with an error that is no text", 400, one, `{"error":["use_dpop_nonce"]}`, false},
		{"400 with HTML", 400, one, "<html>use_dpop_nonce", false},
		{"400 with nothing", 400, one, "", false},
		{"401 with a challenge for something else", 401, challenged(`DPoP error="invalid_token"`), "", false},
		{"400 with a challenge only", 400, challenged(`DPoP error="use_dpop_nonce"`), "", false},
		{"403 with the code", 403, one, want, false},
		{"500 with the code", 500, one, want, false},
		{"200 with the code", 200, one, want, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			as := newServer(t, func(w http.ResponseWriter, n int, _ seen) {
				if n == 0 {
					refuse(c.status, c.header, c.body)(w)
					return
				}
				io.WriteString(w, "tokens")
			})
			resp, err := client(t, &dpop.Prover{}).Post(as.URL+"/token?x", "application/x-www-form-urlencoded", strings.NewReader(form))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if !c.again {
				if len(as.seen()) != 1 || resp.StatusCode != c.status || string(body) != c.body {
					t.Errorf("%d requests, then %d with %d bytes", len(as.seen()), resp.StatusCode, len(body))
				}
				return
			}
			if len(as.seen()) != 2 || resp.StatusCode != 200 || string(body) != "tokens" {
				t.Fatalf("%d requests, then %d %q", len(as.seen()), resp.StatusCode, body)
			}
			first, second := as.seen()[0], as.seen()[1]
			if first.body != form || second.body != form {
				t.Errorf("bodies %q and %q", first.body, second.body)
			}
			if first.proof.nonce != "" || second.proof.nonce != "n1" || first.proof.jti == second.proof.jti {
				t.Errorf("proofs %+v and %+v", first.proof, second.proof)
			}
		})
	}
}

// T-K1
func TestTheClientGivesUpAfterTheSecondTime(t *testing.T) {
	for name, c := range map[string]struct {
		nonce func(n int) string
		next  string
	}{
		"a new nonce each time":       {strconv.Itoa, "1"},
		"the same nonce again":        {func(int) string { return "n" }, "n"},
		"a nonce only with the first": {func(n int) string { return []string{"0", ""}[min(n, 1)] }, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			as := newServer(t, func(w http.ResponseWriter, n int, _ seen) {
				w.Header().Set("DPoP-Nonce", c.nonce(n))
				w.WriteHeader(400)
				fmt.Fprintf(w, `{"error":"use_dpop_nonce","n":%d}`, n)
			})
			p, key, base := &dpop.Prover{}, newKey(t, ""), &http.Transport{}
			defer base.CloseIdleConnections()
			resp, err := p.Client(key, base).Post(as.URL, "", strings.NewReader(form))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if len(as.seen()) != 2 || resp.StatusCode != 400 || string(body) != `{"error":"use_dpop_nonce","n":1}` {
				t.Errorf("%d requests, then %d %s", len(as.seen()), resp.StatusCode, body)
			}
			if next := at(t, p, key, as.URL); next != c.next {
				t.Errorf("the next proof has the nonce %q, want %q", next, c.next)
			}
		})
	}
}

// T-K1: RFC 9449 section 8.2
func TestTheClientTakesTheNonceOfASuccess(t *testing.T) {
	as := newServer(t, func(w http.ResponseWriter, n int, _ seen) { w.Header().Set("DPoP-Nonce", strconv.Itoa(n)) })
	c := client(t, &dpop.Prover{})
	for n, want := range []string{"", "0", "1"} {
		resp, err := c.Get(as.URL)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := as.seen()[n].proof.nonce; got != want {
			t.Errorf("nonce %q, want %q", got, want)
		}
	}
	if len(as.seen()) != 3 {
		t.Errorf("%d requests", len(as.seen()))
	}
}

// T-K2: the code may be spent, but the next sign-in has the time.
func TestTheClientLearnsTheTimeOfARefusal(t *testing.T) {
	for _, status := range []int{400, 401} {
		t.Run(strconv.Itoa(status), func(t *testing.T) { learnsTheTime(t, status) })
	}
}

func learnsTheTime(t *testing.T, status int) {
	as := newServer(t, func(w http.ResponseWriter, n int, _ seen) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		switch {
		case n > 0:
		case status == 400:
			w.WriteHeader(status)
			io.WriteString(w, `{"error":"invalid_dpop_proof"}`)
		default:
			w.Header().Set("WWW-Authenticate", `DPoP error="invalid_dpop_proof"`)
			w.WriteHeader(status)
		}
	})
	p := &dpop.Prover{}
	for range 2 {
		resp, err := client(t, p).Post(as.URL, "", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if len(as.seen()) != 2 {
		t.Fatalf("%d requests", len(as.seen()))
	}
	now := time.Now().Unix()
	if off := as.seen()[0].proof.iat - now; off < -60 || off > 60 {
		t.Errorf("first: off by %d s", off)
	}
	if off := as.seen()[1].proof.iat - now; off < 3540 || off > 3660 {
		t.Errorf("second: off by %d s", off)
	}
}

// T-A4
func TestTheClientFollowsNoRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s arrived elsewhere", r.Method, r.URL)
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		as := newServer(t, func(w http.ResponseWriter, _ int, _ seen) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(status)
		})
		resp, err := client(t, &dpop.Prover{}).Post(as.URL, "", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status || len(as.seen()) != 1 {
			t.Errorf("%d after %d requests, want %d", resp.StatusCode, len(as.seen()), status)
		}
	}
}

// once is a body that cannot be had again.
type once struct {
	io.Reader
	closed int
}

func (o *once) Close() error { o.closed++; return nil }

func TestTheClientReturnsTheRefusalIfTheBodyCannotBeHadAgain(t *testing.T) {
	as := newServer(t, func(w http.ResponseWriter, n int, _ seen) {
		w.Header().Set("DPoP-Nonce", "n")
		w.WriteHeader(400)
		io.WriteString(w, `{"error":"use_dpop_nonce"}`)
	})
	for name, getBody := range map[string]func() (io.ReadCloser, error){
		"no GetBody":         nil,
		"GetBody that fails": func() (io.ReadCloser, error) { return nil, errors.New("gone") },
	} {
		t.Run(name, func(t *testing.T) {
			before := len(as.seen())
			req := request(t, "POST", as.URL)
			req.Body, req.GetBody = &once{Reader: strings.NewReader(form)}, getBody
			resp, err := client(t, &dpop.Prover{}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if n := len(as.seen()) - before; n != 1 || resp.StatusCode != 400 || string(body) != `{"error":"use_dpop_nonce"}` {
				t.Errorf("%d requests, then %d %s", n, resp.StatusCode, body)
			}
		})
	}
	t.Run("no body is had again", func(t *testing.T) {
		before := len(as.seen())
		for _, body := range []io.Reader{nil, http.NoBody} {
			req, _ := http.NewRequest("GET", as.URL, body)
			resp, err := client(t, &dpop.Prover{}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		if n := len(as.seen()) - before; n != 4 {
			t.Errorf("%d requests, want 2 times 2", n)
		}
	})
}

// T-J3
func TestTheClientLeavesTheRequestAsItWas(t *testing.T) {
	as := newServer(t, func(w http.ResponseWriter, n int, _ seen) {
		w.Header().Set("DPoP-Nonce", "n")
		if n == 0 {
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"use_dpop_nonce"}`)
		}
	})
	req, _ := http.NewRequest("POST", as.URL, strings.NewReader(form))
	body := req.Body
	resp, err := client(t, &dpop.Prover{}).Transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(req.Header) != 0 || req.Body != body || len(as.seen()) != 2 {
		t.Errorf("header %v after %d requests", req.Header, len(as.seen()))
	}
	if resp.Request != req {
		t.Error("the answer leads to another request")
	}
}

// base is a RoundTripper of a test.
type base func(*http.Request) (*http.Response, error)

func (b base) RoundTrip(req *http.Request) (*http.Response, error) { return b(req) }

// closer is a base with connections.
type closer struct {
	base
	closed bool
}

func (c *closer) CloseIdleConnections() { c.closed = true }

func TestTheClientClosesTheConnectionsOfItsBase(t *testing.T) {
	b := &closer{}
	(&dpop.Prover{}).Client(newKey(t, ""), b).CloseIdleConnections()
	if !b.closed {
		t.Error("not closed")
	}
	(&dpop.Prover{}).Client(newKey(t, ""), b.base).CloseIdleConnections() // has none
}

// The nonce is one of the Host's, as the proof is.
func TestTheClientKnowsTheHostThatItAsked(t *testing.T) {
	p, key := &dpop.Prover{}, newKey(t, "")
	c := p.Client(key, base(func(req *http.Request) (*http.Response, error) {
		got, err := read(req.Header)
		if err != nil || got.htu != "https://as.example/token" {
			t.Errorf("%s, %v", got.htu, err)
		}
		if got.nonce != "n" {
			return &http.Response{StatusCode: 400, Header: nonces("n"), Body: io.NopCloser(strings.NewReader(`{"error":"use_dpop_nonce"}`))}, nil
		}
		return &http.Response{StatusCode: 200}, nil
	}))
	req := request(t, "POST", "https://10.0.0.7/token")
	req.Host = "as.example"
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != 200 {
		t.Errorf("%d", resp.StatusCode)
	}
	if got := at(t, p, key, "https://10.0.0.7/"); got != "" {
		t.Errorf("nonce %q of another host", got)
	}
}

func TestTheClientClosesEveryBody(t *testing.T) {
	refusal := func() (*http.Response, *once) {
		body := &once{Reader: strings.NewReader(`{"error":"use_dpop_nonce"}`)}
		return &http.Response{StatusCode: 400, Header: nonces("n"), Body: body}, body
	}
	t.Run("of a request that cannot be proved", func(t *testing.T) {
		body := &once{Reader: strings.NewReader(form)}
		req := request(t, "POST", "https://as.example/token")
		req.Body = body
		nothing := base(func(*http.Request) (*http.Response, error) { t.Error("sent"); return nil, nil })
		resp, err := (&dpop.Prover{}).Client(nil, nothing).Transport.RoundTrip(req)
		if resp != nil || err == nil || body.closed != 1 {
			t.Errorf("%v, %v, closed %d times", resp, err, body.closed)
		}
	})
	t.Run("of the first answer, if the second request fails", func(t *testing.T) {
		first, body := refusal()
		n, lost := 0, errors.New("lost")
		c := (&dpop.Prover{}).Client(newKey(t, ""), base(func(*http.Request) (*http.Response, error) {
			if n++; n == 1 {
				return first, nil
			}
			return nil, lost
		}))
		resp, err := c.Get("https://as.example/token")
		if resp != nil || !errors.Is(err, lost) || body.closed != 1 {
			t.Errorf("%v, %v, closed %d times", resp, err, body.closed)
		}
	})
	t.Run("which there need not be", func(t *testing.T) {
		c := (&dpop.Prover{}).Client(newKey(t, ""), base(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 400}, nil
		}))
		resp, err := c.Get("https://as.example/token")
		if err != nil || resp.StatusCode != 400 {
			t.Errorf("%v, %v", resp, err)
		}
	})
}

func TestARefusalThatBreaksBreaksForTheCaller(t *testing.T) {
	as := newServer(t, func(w http.ResponseWriter, _ int, _ seen) {
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(400)
		io.WriteString(w, `{"error":"use_dpop_nonce"}`)
	})
	resp, err := client(t, &dpop.Prover{}).Get(as.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if string(body) != `{"error":"use_dpop_nonce"}` || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", body, err)
	}
}

func TestTheClientNeedsNoBase(t *testing.T) {
	as := newServer(t, func(http.ResponseWriter, int, seen) {})
	c := (&dpop.Prover{}).Client(newKey(t, ""), nil)
	defer c.CloseIdleConnections()
	resp, err := c.Get(as.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}
