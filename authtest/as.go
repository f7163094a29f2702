package authtest

import (
	"crypto"
	"net/http"
	"sync"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// Rotation is what becomes of a refresh token that was used.
type Rotation int

const (
	// Strict rotation lets a refresh token work once. Showing it again ends
	// the session, its newest refresh token included (RFC 9700 section
	// 4.14.2). Access tokens live until they end.
	Strict Rotation = iota
	// Grace is Strict, but the previous generation may be shown again for
	// [ASConfig].GraceFor, and gets a new generation each time. The one before
	// it ends the session.
	Grace
	// NoRotation keeps the refresh token; answers name none.
	NoRotation
)

// ASConfig says how an [AS] behaves. The zero value is a strict one for public
// clients.
type ASConfig struct {
	// Wire is what this server and its APIs speak. If zero, HTTP/1.1 without
	// TLS.
	Wire Wire
	// Alg signs the access tokens: HS256, RS256, PS256, ES256 or EdDSA. If
	// empty, HS256.
	Alg string
	// Audience is the aud of the access tokens. If empty, "api".
	Audience string
	// AccessTTL is the life of an access token, rounded up to a second, which
	// is how JWTs tell time. If zero, 5 minutes; if negative, they have ended
	// before they are issued.
	AccessTTL time.Duration
	// RefreshTTL is the life of a refresh token, rounded up to a second. If
	// zero, 1 hour.
	RefreshTTL time.Duration
	// Rotation is what becomes of a used refresh token. If zero, Strict.
	Rotation Rotation
	// GraceFor is for how long Grace tolerates the previous generation. If
	// zero, 10 seconds.
	GraceFor time.Duration
	// ClientAuth is what the grant style demands. If zero, nothing.
	ClientAuth ClientAuth
	// ClientID is the one client. If empty, "bff".
	ClientID string
	// ClientSecret is its secret. If empty, "bff-secret".
	ClientSecret string
	// ClientKey is the public key of PrivateKeyJWT: an *rsa.PublicKey, a P-256
	// *ecdsa.PublicKey or an ed25519.PublicKey. If nil, no assertion verifies.
	ClientKey crypto.PublicKey
	// Delay is between the effect of a refresh and its answer, in both styles.
	// If zero, there is none.
	Delay time.Duration
}

func (c ASConfig) withDefaults() ASConfig {
	def(&c.Alg, "HS256")
	def(&c.Audience, "api")
	def(&c.AccessTTL, 5*time.Minute)
	def(&c.RefreshTTL, time.Hour)
	def(&c.GraceFor, 10*time.Second)
	def(&c.ClientID, "bff")
	def(&c.ClientSecret, "bff-secret")
	return c
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// AS is an authorization server. Its methods may be called at any time and from
// any goroutine.
type AS struct {
	// URL is the issuer, without a slash at its end.
	URL string

	config ASConfig
	server server
	signer signer

	mu          sync.Mutex
	ahead       time.Duration            // of time.Now
	tokens      map[string]*refreshToken // every refresh token ever issued
	serial      int64                    // of the newest access token
	revokedTo   int64                    // access tokens up to this serial are refused
	revoked     map[int64]bool           // and so are these
	assertions  map[string]bool          // client assertions seen, by jti
	mutate      func(map[string]any)
	nextSubject string
	refreshing  faults
	revoking    faults
	inFlight    int
	counts      Counts
	presented   map[string]int // presentations by refresh token
}

// NewAS starts an authorization server; the caller closes it. It panics if
// there is no such algorithm as config.Alg, or no port.
func NewAS(config ASConfig) *AS {
	as := &AS{
		config:     config.withDefaults(),
		tokens:     map[string]*refreshToken{},
		revoked:    map[int64]bool{},
		assertions: map[string]bool{},
		presented:  map[string]int{},
	}
	as.signer = newSigner(as.config.Alg)
	as.server.start(config.Wire, as.routes())
	as.URL = as.server.http.URL
	return as
}

func (as *AS) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", as.serveToken)
	mux.HandleFunc("POST /revoke", as.serveRevoke)
	mux.HandleFunc("POST /introspect", as.serveIntrospect)
	mux.HandleFunc("GET /jwks", as.serveJWKS)
	mux.HandleFunc("POST /auth/login", as.serveLogin)
	mux.HandleFunc("POST /auth/restore-token", as.serveRestore)
	mux.HandleFunc("POST /auth/logout", as.serveLogout)
	return mux
}

// Close stops the server: it ends the contexts of the requests that are still
// there, cuts their connections, and waits for their handlers. So a [Fault] that
// waits for something has to end with the context of its request. A second Close
// does nothing.
func (as *AS) Close() { as.server.close() }

// Transport returns a transport that trusts this server and its APIs and speaks
// what they speak. All callers share it; Close closes its idle connections.
// Whoever wants to change it takes a Clone. Its TLSClientConfig holds the
// trusted roots, and is nil on Plain.
func (as *AS) Transport() *http.Transport { return as.server.transport() }

// TokenURL returns the token endpoint (RFC 6749 section 3.2). It serves the
// grants refresh_token and, for scripts, password.
func (as *AS) TokenURL() string { return as.URL + "/token" }

// RevokeURL returns the revocation endpoint (RFC 7009).
func (as *AS) RevokeURL() string { return as.URL + "/revoke" }

// IntrospectURL returns the introspection endpoint (RFC 7662).
func (as *AS) IntrospectURL() string { return as.URL + "/introspect" }

// JWKSURL returns where the public key is. The set is empty with HS256.
func (as *AS) JWKSURL() string { return as.URL + "/jwks" }

// LoginURL returns the sign-in of the cookie style: it takes {"username",
// "password"} in JSON, any user with the password [Password].
func (as *AS) LoginURL() string { return as.URL + "/auth/login" }

// RestoreURL returns the refresh endpoint of the cookie style. It takes the
// cookie refreshToken, and answers with {"accessToken"} and both cookies, with
// [NoRotation] without them.
func (as *AS) RestoreURL() string { return as.URL + "/auth/restore-token" }

// LogoutURL returns the logout of the cookie style.
func (as *AS) LogoutURL() string { return as.URL + "/auth/logout" }

// Key returns what verifies the access tokens: the secret as []byte for HS256,
// else the public key.
func (as *AS) Key() any { return as.signer.public() }

// SignIn starts a session without HTTP and without being counted.
func (as *AS) SignIn(subject string) tokencache.Token {
	g := as.signIn(subject)
	return tokencache.NewToken(tokencache.TokenFields{
		Access: as.accessToken(g), Refresh: g.refresh,
		Issued: g.issued, Expiry: g.expiry, RefreshExpiry: g.refreshExpiry,
	})
}

// Alive reports whether the refresh token would be accepted now. Asking is not
// counted.
func (as *AS) Alive(refreshToken string) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	t := as.tokens[refreshToken]
	if t == nil {
		return false
	}
	v := as.judge(t)
	return v == current || v == tolerated
}

// EndSession ends the session that the refresh token belongs to, whatever its
// generation, as an administrator would. Access tokens live on until they end.
func (as *AS) EndSession(refreshToken string) {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.end(refreshToken)
}

// RevokeAccess makes the APIs refuse every access token issued so far. Refresh
// tokens live on.
func (as *AS) RevokeAccess() {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.revokedTo = as.serial
}

// Advance moves the clock of this server and its APIs ahead by d, which must not
// be negative: what was issued ages, without anybody waiting.
func (as *AS) Advance(d time.Duration) {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.ahead += d
}

// Mutate calls f with the JSON members of every successful token answer before
// they are sent, in both styles, until it is called again; nil ends it. It may
// be called by several requests at once. What was rotated stays so.
func (as *AS) Mutate(f func(answer map[string]any)) {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.mutate = f
}

// NextSubject makes the next refresh, and no other, answer with an access token
// of another subject.
func (as *AS) NextSubject(subject string) {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.nextSubject = subject
}
