package integration

import (
	"slices"
	"testing"
	"time"
)

// A server is a row of the table: an authorization server, how it is run, and
// what it is known to do. The tests hold it to that.
type server struct {
	name    string
	start   func(t testing.TB, s server, accessTTL time.Duration, env ...string) running
	folder  string   // of its launcher
	tags    string   // that it is built with
	heavy   bool     // to build: done where REBEARER_TEST_HYDRA is set
	env     []string // of its launcher, beside what the protocol gives
	clients []string // those whose method of authentication it can do
	secret  string   // of the clients that have one

	// alg is what signs its access tokens, and typ their header, where they
	// are JWTs. Where they are not, an API has to ask the server each time.
	alg, typ string
	// cuts: its expires_in may be a second less than the lifetime.
	cuts bool
	// sticks: the tokens of a session name the key that signed its first one,
	// whatever signs them, so that none verifies once there is a new key.
	sticks bool
	// endsAccess: a refresh ends the old access token, as introspection sees it.
	endsAccess bool

	// spent is what a refresh token of two generations ago is answered with,
	// and killsFamily whether the newest one is dead from then on.
	spent       reply
	killsFamily bool
	// forgives: the refresh token before the newest is answered with tokens, for
	// much longer than our Grace. same: with those that were given for it before.
	forgives, same bool
	// keeps: there is no rotation. A refresh brings no refresh token.
	keeps bool
	// dead is what the endpoint has to be told of that.
	dead []string

	// introspects are the clients of whose tokens the server tells (RFC 7662), and
	// asker is who may ask; if empty, that client.
	introspects []string
	asker       string
	// issuerOnly: a client assertion has to be for the issuer. For the token
	// endpoint it is refused, or does not serve for a revocation.
	issuerOnly bool
	// blamesGrant: a client assertion that it does not take is answered with
	// invalid_grant, as if it were the refresh token that is dead.
	blamesGrant bool
}

func (s server) knows(client string) bool { return slices.Contains(s.clients, client) }

// A reply is a status, and the code of the error beside it.
type reply struct {
	status int
	code   string
}

// A running server.
type running interface {
	// session signs a new user in. The program that holds her tokens knows them
	// from then on.
	session(t *testing.T, client string) *session
	// tell has the server do something, see obey.
	tell(t testing.TB, command string)
}

const hydraTags = "sqlite,sqlite_omit_load_extension"

var servers = []server{
	{
		name: "go-oidc", start: startGoOIDC, clients: clients,
		// It takes the secret of HTTP Basic as it comes, not form-urlencoded as
		// RFC 6749 section 2.3.1 has it: so one that encodes to itself.
		secret: "s3cret-s3cret",
		alg:    "ES256", typ: "at+jwt", endsAccess: true,
		spent: reply{400, "invalid_request"}, dead: []string{"400 invalid_request"},
		introspects: clients,
	},
	{
		name: "oidc-provider", start: startLauncher, folder: "oidc-provider", clients: clients,
		// It form-decodes the secret of HTTP Basic, so that one full of what
		// must be encoded is the better test.
		secret: "s3cret +/:%&=?~",
		alg:    "ES256", typ: "at+jwt",
		spent: reply{400, "invalid_grant"}, killsFamily: true,
		introspects: clients,
	},
	{
		name: "fosite", start: startLauncher, folder: "fosite", clients: clients,
		secret: "s3cret +/:%&=?~",
		alg:    "ES256", typ: "JWT", cuts: true, endsAccess: true,
		spent: reply{400, "invalid_grant"}, killsFamily: true,
		introspects: clients, asker: "bff", issuerOnly: true,
	},
	{
		name: "zitadel", start: startLauncher, folder: "zitadel", clients: clients,
		secret:     "s3cret +/:%&=?~",
		endsAccess: true,
		spent:      reply{400, "invalid_grant"},
		issuerOnly: true, blamesGrant: true,
		// It introspects access tokens only, and for the client alone that they
		// are of. So an API that is no client asks for userinfo.
	},
	{
		name: "better-auth", start: startLauncher, folder: "better-auth", clients: clients,
		secret: "s3cret +/:%&=?~",
		alg:    "ES256", typ: "at+jwt",
		spent: reply{400, "invalid_grant"}, killsFamily: true,
		introspects: []string{"bff", "bff-post", "bff-jwt"}, issuerOnly: true,
	},
	{
		name: "better-auth interval", start: startLauncher, folder: "better-auth", env: []string{"REUSE_INTERVAL=60"}, clients: clients,
		secret: "s3cret +/:%&=?~",
		alg:    "ES256", typ: "at+jwt",
		spent: reply{200, ""}, forgives: true, same: true,
		introspects: []string{"bff", "bff-post", "bff-jwt"}, issuerOnly: true,
	},
	{
		name: "hydra", start: startLauncher, folder: "hydra", tags: hydraTags, heavy: true, clients: clients,
		secret: "s3cret +/:%&=?~",
		alg:    "RS256", typ: "JWT", cuts: true, endsAccess: true,
		spent: reply{400, "invalid_grant"}, killsFamily: true,
		introspects: clients, sticks: true,
	},
	{
		name: "hydra grace", start: startLauncher, folder: "hydra", tags: hydraTags, heavy: true, env: []string{"GRACE=60s"}, clients: clients,
		secret: "s3cret +/:%&=?~",
		alg:    "RS256", typ: "JWT", cuts: true, endsAccess: true,
		spent: reply{200, ""}, forgives: true,
		introspects: clients, sticks: true,
	},
	{
		name: "nest strict", start: startNest, folder: "nest", env: []string{"ROTATE=strict"}, clients: []string{"cookie"},
		spent: reply{401, "Unauthorized"}, killsFamily: true,
	},
	{
		name: "nest grace", start: startNest, folder: "nest", env: []string{"ROTATE=grace", "GRACE=60000"}, clients: []string{"cookie"},
		spent: reply{401, "Unauthorized"}, killsFamily: true, forgives: true,
	},
	{
		name: "nest none", start: startNest, folder: "nest", env: []string{"ROTATE=none"}, clients: []string{"cookie"},
		keeps: true,
	},
}

// each runs a test of every server whose row the test is about.
func each(t *testing.T, about func(server) bool, accessTTL time.Duration, test func(*testing.T, server, running)) {
	for _, s := range servers {
		if !about(s) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(t, s, s.start(t, s, accessTTL))
		})
	}
}

func all(server) bool { return true }

// oauth leaves out the backends that are no authorization servers.
func oauth(s server) bool { return methods[s.clients[0]] != "cookie" }

// start starts the authorization server of that name.
func start(t testing.TB, name string, accessTTL time.Duration, env ...string) *authServer {
	t.Helper()
	for _, s := range servers {
		if s.name == name {
			return s.start(t, s, accessTTL, env...).(*authServer)
		}
	}
	t.Fatalf("no server is called %s", name)
	return nil
}
