package main

import (
	"encoding/json"
	"log"
	"net/http"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"
)

// A provider is fosite behind the endpoints that it leaves to its user.
type provider struct {
	fosite.OAuth2Provider
	*server
}

func newProvider(s *server) http.Handler {
	p := provider{compose.Compose(s.config(), s.db, s.strategy(),
		compose.OAuth2AuthorizeExplicitFactory,
		compose.OpenIDConnectExplicitFactory,
		compose.OAuth2PKCEFactory,
		compose.OAuth2RefreshTokenGrantFactory,
		compose.OpenIDConnectRefreshFactory,
		compose.OAuth2TokenRevocationFactory,
		compose.OAuth2TokenIntrospectionFactory,
	), s}
	mux := http.NewServeMux()
	mux.HandleFunc("/authorize", p.authorize)
	mux.HandleFunc("/token", p.token)
	mux.HandleFunc("/revoke", p.revoke)
	mux.HandleFunc("/introspect", p.introspect)
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.keys.public()) })
	mux.HandleFunc("/.well-known/openid-configuration", p.discover)
	return mux
}

func (s *server) config() *fosite.Config {
	return &fosite.Config{
		GlobalSecret:        s.secret,
		AccessTokenLifespan: s.env.AccessTTL, RefreshTokenLifespan: s.env.RefreshTTL,
		AccessTokenIssuer: s.issuer, IDTokenIssuer: s.issuer,
		EnforcePKCE: true,
		// What the audience of a client assertion has to be, and used for nothing
		// else here. RFC 7523 section 3 leaves the choice; the issuer is the one
		// that holds behind a proxy too.
		TokenURL: s.issuer,
	}
}

func (s *server) strategy() *compose.CommonStrategy {
	config := s.config()
	sign := &signer{jwt.DefaultSigner{GetPrivateKey: s.keys.signing}, s.keys}
	access := compose.NewOAuth2JWTStrategy(s.keys.signing, compose.NewOAuth2HMACStrategy(config), config)
	access.Signer = sign
	return &compose.CommonStrategy{
		CoreStrategy:               access,
		OpenIDConnectTokenStrategy: &openid.DefaultStrategy{Signer: sign, Config: config},
		Signer:                     sign,
	}
}

func (p provider) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := p.NewAccessRequest(ctx, r, newSession(""))
	if err != nil {
		p.WriteAccessError(ctx, w, request, err)
		return
	}
	response, err := p.NewAccessResponse(ctx, request)
	if err != nil {
		p.WriteAccessError(ctx, w, request, err)
		return
	}
	p.WriteAccessResponse(ctx, w, request, response)
}

func (p provider) revoke(w http.ResponseWriter, r *http.Request) {
	p.WriteRevocationResponse(r.Context(), w, p.NewRevocationRequest(r.Context(), r))
}

func (p provider) introspect(w http.ResponseWriter, r *http.Request) {
	response, err := p.NewIntrospectionRequest(r.Context(), r, newSession(""))
	if err != nil {
		p.WriteIntrospectionError(r.Context(), w, err)
		return
	}
	p.WriteIntrospectionResponse(r.Context(), w, response)
}

func (p provider) discover(w http.ResponseWriter, _ *http.Request) {
	methods := []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}
	reply(w, map[string]any{
		"issuer":                                           p.issuer,
		"authorization_endpoint":                           p.issuer + "/authorize",
		"token_endpoint":                                   p.issuer + "/token",
		"revocation_endpoint":                              p.issuer + "/revoke",
		"introspection_endpoint":                           p.issuer + "/introspect",
		"jwks_uri":                                         p.issuer + "/jwks",
		"response_types_supported":                         []string{"code"},
		"grant_types_supported":                            []string{"authorization_code", "refresh_token"},
		"subject_types_supported":                          []string{"public"},
		"scopes_supported":                                 []string{"openid", "offline_access", "api"},
		"id_token_signing_alg_values_supported":            []string{"ES256"},
		"code_challenge_methods_supported":                 []string{"S256"},
		"token_endpoint_auth_methods_supported":            methods,
		"token_endpoint_auth_signing_alg_values_supported": []string{"ES256"},
		"revocation_endpoint_auth_methods_supported":       methods,
		"introspection_endpoint_auth_methods_supported":    []string{"client_secret_basic"}, // fosite looks nowhere else
	})
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		log.Print(err)
	}
}
