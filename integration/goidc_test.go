package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"
	"golang.org/x/crypto/bcrypt"
)

// goOIDC starts github.com/luikyv/go-oidc, which rotates refresh tokens and
// answers an old one with 400 invalid_request, but kills no family.
func goOIDC(t testing.TB, accessTTL time.Duration) *authServer {
	t.Helper()
	// It takes the secret of HTTP Basic as it comes, not form-urlencoded as
	// RFC 6749 section 2.3.1 has it: so one that encodes to itself.
	as := newAuthServer(t, "s3cret-s3cret")
	as.reuseError = "invalid_request"

	srv := httptest.NewUnstartedServer(nil)
	issuer := "http://" + srv.Listener.Addr().String()
	op, err := provider.New(goidc.ProfileOpenID, issuer, signingKeys(t), append(as.goOIDCClients(t),
		provider.WithScopes(goidc.ScopeOpenID, goidc.ScopeOfflineAccess, goidc.NewScope("api")),
		provider.WithResourceIndicators(audience),
		provider.WithUserSignatureAlgs(jose.ES256),
		provider.WithAuthorizationCodeGrant(),
		provider.WithPKCERequired(goidc.CodeChallengeMethodSHA256),
		provider.WithTokenOptions(func(goidc.GrantInfo) goidc.TokenOptions {
			return goidc.NewJWTTokenOptions("as", int(accessTTL.Seconds()))
		}),
		provider.WithRefreshTokenGrant(func(*goidc.Client, goidc.GrantInfo) bool { return true }, 3600),
		provider.WithRefreshTokenRotation(),
		provider.WithTokenAuthnMethods(goidc.ClientAuthnSecretBasic, authnMethods...),
		provider.WithTokenRevocation(func(*goidc.Client) bool { return true }, goidc.ClientAuthnSecretBasic, authnMethods...),
		provider.WithTokenIntrospection(func(*goidc.Client) bool { return true }, goidc.ClientAuthnSecretBasic, authnMethods...),
		provider.WithPrivateKeyJWTSignatureAlgs(jose.ES256),
		provider.WithCheckJTIFunc(once()),
		provider.WithPolicy(goidc.NewPolicy("login", func(*http.Request, *goidc.Client, *goidc.AuthnSession) bool { return true }, login)),
	)...)
	must(t, err)

	// One request at a time: v0.4.0 changes the sessions in its own store while
	// other requests read them, which the race detector would report as ours.
	var mu sync.Mutex
	handler := op.Handler()
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		handler.ServeHTTP(w, r)
	})
	srv.Start()
	t.Cleanup(srv.Close)
	as.discover(t, issuer)
	return as
}

var authnMethods = []goidc.ClientAuthnType{goidc.ClientAuthnSecretPost, goidc.ClientAuthnNone, goidc.ClientAuthnPrivateKeyJWT}

func (as *authServer) goOIDCClients(t testing.TB) []provider.ProviderOption {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(as.secret), bcrypt.MinCost)
	must(t, err)
	jwks, err := json.Marshal(as.publicJWKS())
	must(t, err)
	var opts []provider.ProviderOption
	for _, id := range clients {
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

func signingKeys(t testing.TB) jose.JSONWebKeySet {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "as", Algorithm: "ES256", Use: "sig"}}}
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
