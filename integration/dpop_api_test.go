package integration

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A boundAPI wants access tokens that are bound to a key, and a proof with a
// nonce of its own, which it changes every two seconds (RFC 9449 sections 7 and
// 9). It checks with go-jose, and takes no proof twice.
type boundAPI struct {
	*httptest.Server
	*verifier
	audience string

	mu       sync.Mutex
	changed  time.Time
	nonce    string
	former   string // is good, too, for requests that were on their way
	jtis     map[string]bool
	demanded atomic.Int64 // answers that demanded a nonce
	replayed atomic.Int64 // proofs that came twice

	succeeded    atomic.Int64
	unauthorized atomic.Int64
}

func (as *authServer) boundAPI(t testing.TB, audience string) *boundAPI {
	t.Helper()
	api := &boundAPI{verifier: as.verifier(), audience: audience, nonce: rand.Text(), jtis: map[string]bool{}}
	api.Server = httptest.NewServer(http.HandlerFunc(api.serve))
	t.Cleanup(api.Server.Close)
	return api
}

func (api *boundAPI) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	if age := time.Since(api.changed); age > 2*time.Second {
		if api.former = api.nonce; age > 4*time.Second {
			api.former = ""
		}
		api.nonce, api.changed = rand.Text(), time.Now()
	}
	code := api.check(r)
	w.Header().Set("DPoP-Nonce", api.nonce)
	if code != "" {
		if code == "use_dpop_nonce" {
			api.demanded.Add(1)
		} else {
			api.unauthorized.Add(1)
		}
		w.Header().Set("WWW-Authenticate", `DPoP error="`+code+`", algs="ES256 EdDSA"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	api.succeeded.Add(1)
	w.Write(body)
}

// check returns what is wrong (RFC 9449 section 4.3).
func (api *boundAPI) check(r *http.Request) string {
	access, ok := strings.CutPrefix(r.Header.Get("Authorization"), "DPoP ")
	proofs := r.Header["Dpop"]
	if !ok || len(proofs) != 1 {
		return "invalid_token"
	}
	proof, err := jwt.ParseSigned(proofs[0], []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA})
	if err != nil || proof.Headers[0].ExtraHeaders["typ"] != "dpop+jwt" || proof.Headers[0].JSONWebKey == nil {
		return "invalid_dpop_proof"
	}
	key := proof.Headers[0].JSONWebKey
	var claims struct {
		JTI   string `json:"jti"`
		HTM   string `json:"htm"`
		HTU   string `json:"htu"`
		ATH   string `json:"ath"`
		Nonce string `json:"nonce"`
		IAT   int64  `json:"iat"`
	}
	ath := sha256.Sum256([]byte(access))
	switch err := proof.Claims(key.Key, &claims); {
	case err != nil || !key.IsPublic(), claims.HTM != r.Method, claims.HTU != "http://"+r.Host+r.URL.Path,
		claims.ATH != base64.RawURLEncoding.EncodeToString(ath[:]),
		time.Since(time.Unix(claims.IAT, 0)).Abs() > time.Minute:
		return "invalid_dpop_proof"
	case api.jtis[claims.JTI]:
		api.replayed.Add(1)
		return "invalid_dpop_proof"
	}
	api.jtis[claims.JTI] = true
	if claims.Nonce == "" || claims.Nonce != api.nonce && claims.Nonce != api.former {
		return "use_dpop_nonce"
	}
	var token struct {
		CNF struct {
			JKT string `json:"jkt"`
		} `json:"cnf"`
	}
	print, _ := key.Thumbprint(crypto.SHA256)
	if api.verify(access, api.audience, &token) != nil || token.CNF.JKT != base64.RawURLEncoding.EncodeToString(print) {
		return "invalid_token"
	}
	return ""
}
