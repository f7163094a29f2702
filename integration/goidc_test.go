package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"
	"golang.org/x/crypto/bcrypt"
)

// A goOIDC is github.com/luikyv/go-oidc in this process, which can go down and
// come up like one of its own: what stays is what it keeps elsewhere.
type goOIDC struct {
	issuer string
	addr   string
	ttl    time.Duration // of access tokens
	opts   []provider.ProviderOption
	keys   []jose.JSONWebKey // the last one signs

	srv      *http.Server // nil: it is down
	provider atomic.Pointer[http.Handler]
}

// startGoOIDC starts it. It has no environment.
func startGoOIDC(t testing.TB, s server, accessTTL time.Duration, _ ...string) running {
	t.Helper()
	as := newAuthServer(t, s)
	l, err := net.Listen("tcp", "127.0.0.1:0") // the issuer holds the port, so no free port has to be guessed
	must(t, err)
	addr := l.Addr().String()
	op := &goOIDC{issuer: "http://" + addr, addr: addr, ttl: accessTTL}
	op.opts = append(as.goOIDCClients(t),
		provider.WithAuthnSessionStorage(&logins{}),
		provider.WithGrantSessionStorage(&grants{}),
		provider.WithScopes(goidc.ScopeOpenID, goidc.ScopeOfflineAccess, goidc.NewScope("api")),
		provider.WithResourceIndicators(audience),
		provider.WithUserSignatureAlgs(jose.ES256),
		provider.WithAuthorizationCodeGrant(),
		provider.WithPKCERequired(goidc.CodeChallengeMethodSHA256),
		provider.WithRefreshTokenGrant(func(*goidc.Client, goidc.GrantInfo) bool { return true }, 3600),
		provider.WithRefreshTokenRotation(),
		provider.WithTokenAuthnMethods(goidc.ClientAuthnSecretBasic, authnMethods...),
		provider.WithTokenRevocation(func(*goidc.Client) bool { return true }, goidc.ClientAuthnSecretBasic, authnMethods...),
		provider.WithTokenIntrospection(func(*goidc.Client) bool { return true }, goidc.ClientAuthnSecretBasic, authnMethods...),
		provider.WithPrivateKeyJWTSignatureAlgs(jose.ES256),
		provider.WithCheckJTIFunc(once()),
		provider.WithPolicy(goidc.NewPolicy("login", func(*http.Request, *goidc.Client, *goidc.AuthnSession) bool { return true }, login)),
	)
	must(t, op.rotate())
	op.serve(l)
	t.Cleanup(func() { op.down() })
	as.obey = op.obey
	as.discover(t, op.issuer)
	return as
}

func (op *goOIDC) obey(command string) error {
	return map[string]func() error{"down": op.down, "up": op.up, "rotate": op.rotate}[command]()
}

// down closes the listener and every connection, also of requests under way.
func (op *goOIDC) down() error {
	if op.srv == nil {
		return errors.New("it is down")
	}
	defer func() { op.srv = nil }()
	return op.srv.Close()
}

// up listens at the same port, with a provider made anew.
func (op *goOIDC) up() error {
	l, err := net.Listen("tcp", op.addr)
	if err != nil {
		return err
	}
	if err := op.renew(op.keys); err != nil {
		return err
	}
	op.serve(l)
	return nil
}

func (op *goOIDC) serve(l net.Listener) {
	op.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*op.provider.Load()).ServeHTTP(w, r)
	})}
	go op.srv.Serve(l)
}

// rotate has a new key sign. A provider is given its keys once, so that it
// takes another one.
func (op *goOIDC) rotate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return op.renew(append(slices.Clone(op.keys), jose.JSONWebKey{Key: key, KeyID: rand.Text(), Algorithm: "ES256", Use: "sig"}))
}

// renew makes a provider over what is kept elsewhere.
func (op *goOIDC) renew(keys []jose.JSONWebKey) error {
	signing := keys[len(keys)-1].KeyID
	p, err := provider.New(goidc.ProfileOpenID, op.issuer, jose.JSONWebKeySet{Keys: keys}, append(slices.Clone(op.opts),
		provider.WithTokenOptions(func(goidc.GrantInfo) goidc.TokenOptions {
			return goidc.NewJWTTokenOptions(signing, int(op.ttl.Seconds()))
		}))...)
	if err != nil {
		return err
	}
	handler := p.Handler()
	op.provider.Store(&handler)
	op.keys = keys
	return nil
}

var authnMethods = []goidc.ClientAuthnType{goidc.ClientAuthnSecretPost, goidc.ClientAuthnNone, goidc.ClientAuthnPrivateKeyJWT}

func (as *authServer) goOIDCClients(t testing.TB) []provider.ProviderOption {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(as.secret), bcrypt.MinCost)
	must(t, err)
	jwks, err := json.Marshal(as.publicJWKS())
	must(t, err)
	var opts []provider.ProviderOption
	for _, id := range as.clients {
		opts = append(opts, provider.WithStaticClient(&goidc.Client{
			ID: id, HashedSecret: string(hash),
			ClientMetaInfo: goidc.ClientMetaInfo{
				TokenAuthnMethod: goidc.ClientAuthnType(methods[id]),
				PublicJWKS:       jwks,
				RedirectURIs:     []string{callback},
				ScopeIDs:         scope,
				GrantTypes:       []goidc.GrantType{goidc.GrantAuthorizationCode, goidc.GrantRefreshToken},
				ResponseTypes:    []goidc.ResponseType{goidc.ResponseTypeCode},
			},
		}))
	}
	return opts
}

// login is the page that go-oidc leaves to its user: who are you?
func login(w http.ResponseWriter, r *http.Request, session *goidc.AuthnSession) (goidc.AuthnStatus, error) {
	user := r.PostFormValue("login")
	if user == "" {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<form method="post" action="/authorize/%s"><input type="text" name="login"></form>`, session.CallbackID)
		return goidc.StatusInProgress, nil
	}
	session.SetUserID(user)
	session.GrantScopes(session.Scopes)
	session.GrantResources(session.Resources)
	return goidc.StatusSuccess, nil
}

// once refuses a client assertion's jti the second time.
func once() goidc.CheckJTIFunc {
	var seen sync.Map
	return func(_ context.Context, jti string) error {
		if _, again := seen.LoadOrStore(jti, true); again {
			return errors.New("jti was used before")
		}
		return nil
	}
}
