package transport_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/transport"
)

// prover makes proofs that a test can read, such as "3 nonce=n ath=access". It
// remembers the last nonce of all.
type prover struct {
	mu    sync.Mutex
	n     int
	nonce string
	keys  int
	codes []string
	fails error
}

func (p *prover) NewKey() (crypto.Signer, error) {
	p.keys++
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

func (p *prover) Prove(req *http.Request, key crypto.Signer, access string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if key == nil {
		return errors.New("no key")
	}
	p.n++
	req.Header.Set("DPoP", fmt.Sprintf("%d nonce=%s ath=%s", p.n, p.nonce, access))
	return p.fails
}

func (p *prover) Learn(from *url.URL, h http.Header, key crypto.Signer, code string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes = append(p.codes, code)
	if n := h.Get("DPoP-Nonce"); n != "" {
		p.nonce = n
		return code != ""
	}
	return code == "invalid_dpop_proof" && h.Get("Date") == "late"
}

func (r *rig) bind(t *testing.T) *prover {
	t.Helper()
	p := &prover{}
	key, _ := p.NewKey()
	bound := func(n int32) tokencache.Token {
		of := r.issuer.token(n)
		return tokencache.NewToken(tokencache.TokenFields{Access: of.Access(), Refresh: of.Refresh(), Issued: of.Issued(), Key: key})
	}
	r.coordinator = &tokencache.Coordinator{Refresher: refresherFunc(func(ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
		if _, err := r.issuer.Refresh(ctx, spent); err != nil {
			return tokencache.Token{}, err
		}
		return bound(r.issuer.calls.Load()), nil
	})}
	settle(t, r.coordinator)
	r.cache = tokencache.New(r.coordinator, bound(0))
	r.ctx = tokencache.NewContext(context.Background(), r.cache)
	r.transport.DPoP = p
	return p
}

// demanding is an API that takes each nonce once, and then says echo.
func demanding() http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		mu.Lock()
		want := fmt.Sprintf(" nonce=n%d ", n)
		n++
		w.Header().Set("DPoP-Nonce", fmt.Sprintf("n%d", n))
		mu.Unlock()
		access, bound := strings.CutPrefix(r.Header.Get("Authorization"), "DPoP ")
		proof := r.Header.Get("DPoP")
		switch {
		case !bound || !strings.HasSuffix(proof, " ath="+access):
			w.WriteHeader(http.StatusForbidden)
		case n > 1 && !strings.Contains(proof, want) || n == 1:
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
			w.WriteHeader(http.StatusUnauthorized)
		case access == "access-0":
			w.Header().Set("WWW-Authenticate", `DPoP error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Write(body)
		}
	}
}

// T-C4, T-J4, B38: refused for its nonce, then for its token, a request of any
// body arrives whole, and one refresh was made.
func TestANonceCostsNoRefresh(t *testing.T) {
	for name, give := range bodies {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, demanding())
			p := r.bind(t)
			body := bytes.Repeat([]byte("body "), 5000)
			req := newRequest(r.ctx, "POST", r.url, nil)
			give(t, req, body)
			a := call(t, r.client, req)
			wantStatus(t, a, 200)
			equal(t, "the body is whole", a.body == string(body), true)
			r.wantRefreshes(t, 1)
			equal(t, "answers", strings.Join(p.codes, ","), "use_dpop_nonce,,")
			if req.Header.Get("DPoP") != "" || a.Request.Header.Get("DPoP") != "" {
				t.Error("a proof is in the caller's request")
			}
		})
	}
}

// T-K1: a server that is never content gets two requests, and no refresh.
func TestAnEndlessDemandForANonceEndsAfterTheSecond(t *testing.T) {
	n := 0
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.Header().Set("DPoP-Nonce", fmt.Sprint(n))
		w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, "again ", n)
	})
	r.bind(t)
	a := r.get(t)
	wantStatus(t, a, 401)
	equal(t, "body", a.body, "again 2")
	equal(t, "requests", n, 2)
	r.wantRefreshes(t, 0)
}

// T-J2: what cannot be sent again is answered with what the server said.
func TestABodyThatIsGoneIsNotSentAgainForANonce(t *testing.T) {
	for _, code := range []string{"use_dpop_nonce", "invalid_dpop_proof"} {
		t.Run(code, func(t *testing.T) {
			n := 0
			r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
				io.Copy(io.Discard, req.Body)
				n++
				w.Header().Set("DPoP-Nonce", "n")
				w.Header().Set("WWW-Authenticate", `DPoP error="`+code+`"`)
				w.WriteHeader(http.StatusUnauthorized)
				io.WriteString(w, "why")
			})
			r.bind(t)
			r.transport.MaxBody = 10
			req := newRequest(r.ctx, "POST", r.url, nil)
			req.Body = unrewindable(make([]byte, 1000))
			a := call(t, r.client, req)
			wantStatus(t, a, 401)
			equal(t, "body", a.body, "why")
			equal(t, "requests", n, 1)
		})
	}
}

// T-K2: a proof that was refused is made anew where that helps; where it does
// not, the token may be bound to another key, and a refresh is due.
func TestAProofThatIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		date      string
		refreshes int
		requests  int
	}{
		"for its time: sent again":                {"late", 0, 2},
		"for something else: refreshed, and sent": {"", 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				if n++; n == 1 {
					if row.date != "" {
						w.Header().Set("Date", row.date)
					}
					w.Header().Set("WWW-Authenticate", `DPoP error="invalid_dpop_proof"`)
					w.WriteHeader(http.StatusUnauthorized)
				}
			})
			r.bind(t)
			wantStatus(t, r.get(t), 200)
			equal(t, "requests", n, row.requests)
			r.wantRefreshes(t, row.refreshes)
		})
	}
}

// RFC 9449 section 7.1: a bound token is worth nothing without a proof.
func TestABoundTokenIsNotSentWithoutAProof(t *testing.T) {
	for name, spoil := range map[string]func(*rig, *prover){
		"no prover":           func(r *rig, _ *prover) { r.transport.DPoP = nil },
		"a prover that fails": func(_ *rig, p *prover) { p.fails = errors.New("no") },
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			r := newRig(t, func(http.ResponseWriter, *http.Request) { n++ })
			spoil(r, r.bind(t))
			body := &closed{Reader: strings.NewReader("x")}
			_, err := try(r.client, newRequest(r.ctx, "POST", r.url, body))
			wantReason(t, err, reason.Configuration)
			equal(t, "requests", n, 0)
			equal(t, "the body was closed", body.done, true)
		})
	}
}

type closed struct {
	io.Reader
	done bool
}

func (c *closed) Close() error { c.done = true; return nil }

// T-A1, T-A3, B41: a proof goes where its token goes, and nobody can have a proxy
// drop it.
func TestAProofGoesToAllowedOriginsOnly(t *testing.T) {
	var foreign http.Header
	other := newServer(t, func(_ http.ResponseWriter, r *http.Request) { foreign = r.Header })
	var own http.Header
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		own = req.Header
		http.Redirect(w, req, other.URL, http.StatusTemporaryRedirect)
	})
	r.bind(t)
	req := newRequest(r.ctx, "GET", r.url, nil)
	req.Header.Set("Connection", "DPoP, Authorization")
	wantStatus(t, call(t, r.client, req), 200)
	if own.Get("DPoP") == "" || !strings.HasPrefix(own.Get("Authorization"), "DPoP ") || own.Get("Connection") != "" {
		t.Errorf("to the API: %v", own)
	}
	if foreign.Get("DPoP") != "" || foreign.Get("Authorization") != "" {
		t.Errorf("after the redirect: %v", foreign)
	}
}

// A bearer token needs no proof, whoever could make one.
func TestABearerTokenIsSentAsEver(t *testing.T) {
	var got http.Header
	r := newRig(t, func(_ http.ResponseWriter, req *http.Request) { got = req.Header })
	r.transport.DPoP = &prover{}
	wantStatus(t, r.get(t), 200)
	equal(t, "Authorization", got.Get("Authorization"), "Bearer access-0")
	equal(t, "DPoP", got.Get("DPoP"), "")
}

// tokens is a token endpoint that answers like this, one after the other.
func tokens(t *testing.T, answers ...string) (*transport.TokenEndpoint, *prover, *[]http.Header) {
	t.Helper()
	var headers []http.Header
	as := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		headers = append(headers, r.Header)
		a := answers[min(len(headers), len(answers))-1]
		w.Header().Set("DPoP-Nonce", fmt.Sprint("n", len(headers)))
		if strings.Contains(a, `"error"`) {
			w.WriteHeader(http.StatusBadRequest)
		}
		io.WriteString(w, a)
	})
	base := as.Client().Transport
	p := &prover{}
	return &transport.TokenEndpoint{URL: as.URL + "/token", ClientID: "bff", Base: base, DPoP: p}, p, &headers
}

const demand = `{"error":"use_dpop_nonce"}`

// T-C4: the token endpoint demands its nonce (RFC 9449 section 8).
func TestTheTokenEndpointGetsItsNonce(t *testing.T) {
	e, p, headers := tokens(t, demand, `{"access_token":"a","token_type":"DPoP"}`)
	key, _ := p.NewKey()
	got, err := e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Access: "old", Refresh: "r", Key: key}))
	if err != nil || got.Type() != "DPoP" || got.Key().(ed25519.PrivateKey).Equal(key) == false {
		t.Fatalf("%v, %s", err, got.Type())
	}
	equal(t, "requests", len(*headers), 2)
	equal(t, "first proof", (*headers)[0].Get("DPoP"), "1 nonce= ath=")
	equal(t, "second proof", (*headers)[1].Get("DPoP"), "2 nonce=n1 ath=")
}

func TestTheTokenEndpointIsNeverContentWithANonce(t *testing.T) {
	e, p, headers := tokens(t, demand)
	key, _ := p.NewKey()
	_, err := e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Refresh: "r", Key: key}))
	if got := wantReason(t, err, reason.Unrecognised); !got.Unsent || got.Code != "use_dpop_nonce" {
		t.Errorf("%v, unsent %t: the grant was not looked at", got, got.Unsent)
	}
	equal(t, "requests", len(*headers), 2)
}

// T-K3
func TestASessionWithoutAKeyIsGivenOne(t *testing.T) {
	e, p, _ := tokens(t, demand, `{"access_token":"a","token_type":"dpop"}`)
	got, err := e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Access: "old", Refresh: "r"}))
	if err != nil || got.Key() == nil || p.keys != 1 {
		t.Errorf("%v, a key: %t, %d made", err, got.Key() != nil, p.keys)
	}
}

// T-B7: less than was asked for is not taken.
func TestADowngradeIsAnError(t *testing.T) {
	for name, answer := range map[string]string{
		"to Bearer":  `{"access_token":"a","token_type":"Bearer"}`,
		"to nothing": `{"access_token":"a"}`,
	} {
		t.Run(name, func(t *testing.T) {
			e, p, _ := tokens(t, answer)
			key, _ := p.NewKey()
			_, err := e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Refresh: "r", Key: key}))
			wantReason(t, err, reason.Malformed)
		})
	}
	e, _, _ := tokens(t, `{"access_token":"a","token_type":"DPoP"}`)
	e.DPoP = nil
	_, err := e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Refresh: "r"}))
	wantReason(t, err, reason.Malformed)
}

// A refused proof may come after the grant was looked at: it is not sent again
// before a cooldown.
func TestARefusedProofAtTheTokenEndpointIsTransient(t *testing.T) {
	e, p, headers := tokens(t, `{"error":"invalid_dpop_proof"}`)
	key, _ := p.NewKey()
	_, err := e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Refresh: "r", Key: key}))
	if got := wantReason(t, err, reason.Unrecognised); got.Unsent {
		t.Error("it was sent")
	}
	equal(t, "requests", len(*headers), 1)
	equal(t, "what is learned", strings.Join(p.codes, ","), "invalid_dpop_proof")
}

// T-B7 the other way round: an endpoint that lost its Prover turns no bound session
// into less, and spends no refresh token for that.
func TestABoundSessionIsNotRefreshedWithoutAProof(t *testing.T) {
	for name, row := range map[string]struct {
		endpoint func(url string, base http.RoundTripper) endpoint
		prover   *prover
	}{
		"the grant, without a prover":           {grantStyle.at, nil},
		"the grant, with a prover that fails":   {grantStyle.at, &prover{fails: errors.New("no")}},
		"the cookie style, which knows no DPoP": {cookieStyle.at, nil},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			as := newServer(t, func(http.ResponseWriter, *http.Request) { n++ })
			e := row.endpoint(as.URL, as.Client().Transport)
			if row.prover != nil {
				e.(*transport.TokenEndpoint).DPoP = row.prover
			}
			key, _ := new(prover).NewKey()
			_, err := e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "r", Key: key}))
			if got := wantReason(t, err, reason.Configuration); !got.Unsent {
				t.Error("the refresh token may have been sent")
			}
			equal(t, "requests", n, 0)
		})
	}
}

// T-J2: a session that becomes bound with the refresh keeps its body for a nonce.
func TestASessionThatBecomesBoundKeepsItsBody(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		switch {
		case !strings.HasPrefix(req.Header.Get("Authorization"), "DPoP "):
			unauthorized(w)
		case !strings.Contains(req.Header.Get("DPoP"), "nonce=n "):
			w.Header().Set("DPoP-Nonce", "n")
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Write(body)
		}
	})
	p := r.bind(t)
	key, _ := p.NewKey()
	r.coordinator.Refresher = refresherFunc(func(context.Context, tokencache.Token) (tokencache.Token, error) {
		return tokencache.NewToken(tokencache.TokenFields{Access: "access-1", Refresh: "refresh-1", Key: key}), nil
	})
	ctx := tokencache.NewContext(context.Background(), tokencache.New(r.coordinator, r.issuer.token(0)))
	req := newRequest(ctx, "POST", r.url, nil)
	req.Body = unrewindable([]byte("body"))
	a := call(t, r.client, req)
	wantStatus(t, a, 200)
	equal(t, "body", a.body, "body")
}

// T-C4: what only looks like a demand for a nonce is none.
func TestANonceThatNobodyDemands(t *testing.T) {
	n := 0
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.Header().Set("DPoP-Nonce", "n")
		w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
		w.WriteHeader(http.StatusForbidden)
	})
	p := r.bind(t)
	wantStatus(t, r.get(t), 403)
	equal(t, "requests", n, 1)
	equal(t, "codes", strings.Join(p.codes, ","), "")
	e, tp, _ := tokens(t, "")
	down := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, demand)
	})
	e.URL, e.Base = down.URL, down.Client().Transport
	key, _ := tp.NewKey()
	_, err := e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Refresh: "r", Key: key}))
	if got := wantReason(t, err, reason.Unavailable); got.Unsent {
		t.Error("a 500 says nothing of the grant")
	}
}

// RFC 8707 section 2: the client may not have that, and the grant is not to blame.
func TestARefusedTargetBlamesTheClient(t *testing.T) {
	e, _, _ := tokens(t, `{"error":"invalid_target"}`)
	e.DPoP = nil
	_, err := e.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Refresh: "r"}).For(filesResource))
	wantReason(t, err, reason.ClientRefused)
}
