//go:build unix

package faults

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/redisstore"
	"github.com/rebearer/rebearer/transport"
	"github.com/redis/go-redis/v9"
)

const (
	// replicaVariable makes a replica of this test binary.
	replicaVariable = "REBEARER_FAULTS_REPLICA"
	// commentHeader names a POST, attemptHeader a request to the token endpoint.
	commentHeader = "X-Comment"
	attemptHeader = "X-Attempt"
)

// order is how a replica is to be set up. It comes on its standard input, and
// the replica ends with that.
type order struct {
	Name     string
	AS       string // by way of the proxy, as the others
	API      string
	Redis    string
	Roots    string // PEM
	Redirect bool
	Timeout  time.Duration // of a presentation
}

// event is what a replica tells on its standard output, a line each.
type event struct {
	Listening string `json:",omitempty"` // its address
	// Lost is a request to the token endpoint whose answer did not come.
	Lost *attempt `json:",omitempty"`
	Log  string   `json:",omitempty"` // what the log says
	// Stalled is when the process did not run.
	Stalled []time.Time `json:",omitempty"`
}

type attempt struct {
	ID  string
	Err string
}

// teller writes events.
type teller struct{ mu sync.Mutex }

func (t *teller) tell(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	json.NewEncoder(os.Stdout).Encode(e)
}

// Write makes a log of it.
func (t *teller) Write(p []byte) (int, error) {
	t.tell(event{Log: strings.TrimSpace(string(p))})
	return len(p), nil
}

// bff is one replica.
type bff struct {
	order
	teller      teller
	base        *http.Transport
	auth        *middleware.Authenticator
	coordinator *tokencache.Coordinator
	api         *client.Client
	raw         *http.Client
	did         did
}

// runReplica is the process of a replica.
func runReplica() error {
	runtime.MemProfileRate = 8 << 10
	redis.SetLogger(silent{})
	b := &bff{}
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &b.order); err != nil {
		return err
	}
	store, err := redisstore.Open("redis://" + b.Redis)
	if err != nil {
		return err
	}
	store.Client.AddHook(dialHook{&b.did})
	b.open(store)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: b.routes()}
	watching, stop := context.WithCancel(context.Background())
	defer stop()
	go watchStalls(watching, func(from, to time.Time) { b.teller.tell(event{Stalled: []time.Time{from, to}}) })
	go func() {
		io.Copy(io.Discard, in)
		server.Close()
	}()
	b.teller.tell(event{Listening: l.Addr().String()})
	server.Serve(l)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return b.coordinator.Wait(ctx)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func (b *bff) open(store tokencache.Store) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(b.Roots))
	b.base = &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		DialContext:         b.did.dialing((&net.Dialer{Timeout: 5 * time.Second}).DialContext),
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     10 * time.Second,
	}
	log := slog.New(slog.NewTextHandler(&b.teller, nil))
	endpoint := &transport.TokenEndpoint{
		URL: b.AS + "/token", RevocationURL: b.AS + "/revoke", ClientID: "bff",
		Base: &watched{RoundTripper: b.base, name: b.Name, teller: &b.teller},
	}
	b.coordinator = &tokencache.Coordinator{
		Refresher: endpoint, Revoker: endpoint, Store: store, Realm: "faults bff", Log: log,
		Hold:    2 * time.Minute,
		Timeout: b.Timeout,
	}
	b.auth = &middleware.Authenticator{
		Coordinator: b.coordinator,
		Verifier: &middleware.Verifier{
			Algorithms: []string{"EdDSA"}, JWKSURL: b.AS + "/jwks", Base: b.base, Audience: "api",
		},
		Cookies: middleware.Cookies{InsecureNoTLS: true},
		Log:     log,
	}
	if b.Redirect {
		b.auth.Mode = middleware.Redirect
	}
	signed := &transport.Transport{Base: &sent{b.base, &b.did}, Origins: []string{b.API}}
	b.api, b.raw = client.New(b.API, signed), &http.Client{Transport: signed}
}

func (b *bff) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /page", b.auth.Handler(b.auth.Boundary(b.page)))
	mux.Handle("POST /comment", b.auth.Handler(b.auth.Boundary(b.comment)))
	mux.Handle("GET /stream", b.auth.Handler(b.auth.Boundary(b.stream)))
	mux.Handle("POST /auth/refresh", b.auth.RefreshHandler())
	mux.Handle("POST /logout", b.auth.LogoutHandler())
	mux.HandleFunc("POST /signin", b.signIn)
	mux.HandleFunc("GET /figures", b.figures)
	return mux
}

// patience is how long a page waits for an API.
const patience = 6 * time.Second

// answer is what a page says of a call.
type answer struct {
	Subject string // whose the API says that the token is
	User    string `json:"user"` // the same, in the body
	Failed  string // instead
}

// page is a page that makes some calls at once.
func (b *bff) page(w http.ResponseWriter, r *http.Request) error {
	n := 2
	fmt.Sscan(r.FormValue("n"), &n)
	answers, errs := make([]answer, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { answers[i], errs[i] = b.item(r, i) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answers)
}

// subject is who the BFF says that this is.
func subject(r *http.Request) string {
	s, _ := middleware.Claims(r.Context())["sub"].(string)
	return s
}

func (b *bff) item(r *http.Request, i int) (a answer, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	ctx, called := b.did.call(ctx)
	defer called()
	resp, err := b.api.R(ctx).SetHeader(authtest.UserHeader, subject(r)).SetResult(&a).Get(fmt.Sprint("/items/", i))
	if err == nil {
		a.Subject = resp.Header().Get(authtest.UserHeader)
	}
	return a, err
}

// comment passes a body on, and what comes back.
func (b *bff) comment(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	ctx, called := b.did.call(ctx)
	defer called()
	body := io.Reader(r.Body)
	if r.FormValue("whole") != "" {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		body = strings.NewReader(string(text))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.API+"/comments", body)
	if err != nil {
		return err
	}
	req.Header.Set(authtest.UserHeader, subject(r))
	req.Header.Set(commentHeader, r.FormValue("id"))
	resp, err := b.raw.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return tokencache.ErrUnauthorized
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("the API answered %d", resp.StatusCode)
	}
	echo, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	w.Header().Set(authtest.UserHeader, resp.Header.Get(authtest.UserHeader))
	_, err = w.Write(echo)
	return err
}

// stream has sent its header before it makes its calls.
func (b *bff) stream(w http.ResponseWriter, r *http.Request) error {
	out := json.NewEncoder(w)
	for i := range 4 {
		a := answer{}
		if i > 0 {
			var err error
			if a, err = b.item(r, i); err != nil {
				a.Failed = "failed"
				var e *tokencache.Error
				if errors.As(err, &e) {
					a.Failed = string(e.Reason)
				}
			}
		}
		if err := out.Encode(a); err != nil {
			return err
		}
		http.NewResponseController(w).Flush()
		select {
		case <-time.After(700 * time.Millisecond):
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
	return nil
}

// signIn takes the place of a login: who asks has the tokens.
func (b *bff) signIn(w http.ResponseWriter, r *http.Request) {
	t := tokencache.NewToken(tokencache.TokenFields{Access: r.FormValue("access"), Refresh: r.FormValue("refresh")})
	if err := b.auth.SignIn(w, r, t); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
