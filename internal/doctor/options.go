package doctor

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	config                         Config
	secretFile, keyFile, tokenFile string
	yes, json                      bool
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	c := &o.config
	f := flag.NewFlagSet("rebearer-doctor", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.Issuer, "issuer", "", "`URL` of the issuer, whose metadata say the rest")
	f.StringVar(&c.TokenURL, "token-endpoint", "", "`URL` of the token endpoint, where there are no metadata")
	f.StringVar(&c.RevocationURL, "revocation-endpoint", "", "`URL` of the revocation endpoint or, with -cookie, of the logout")
	f.StringVar(&c.JWKSURL, "jwks", "", "`URL` of the key set")
	f.StringVar(&c.ClientID, "client-id", "", "the client's `id`")
	f.StringVar(&o.secretFile, "client-secret-file", "", "`file` with the client's secret, or - (else REBEARER_CLIENT_SECRET)")
	f.StringVar(&o.keyFile, "client-key-file", "", "`file` with the client's private key for private_key_jwt (PEM, PKCS #8)")
	f.StringVar(&c.Alg, "client-key-alg", "ES256", "RS256, PS256, ES256 or EdDSA, as registered for the key")
	f.StringVar(&c.KeyID, "client-key-id", "", "`kid` of the key")
	f.StringVar(&c.AuthMethod, "auth-method", "", "client authentication `method`, if not the first that works")
	f.StringVar(&c.Audience, "audience", "", "audience of a client assertion, if not the first that works")
	f.StringVar(&o.tokenFile, "refresh-token-file", "", "`file` with refresh tokens to be spent, one a line, or - (else REBEARER_REFRESH_TOKENS)")
	f.IntVar(&c.Logins, "login", 0, "make this many `sessions` by signing in with a browser; 3 are enough for everything")
	f.StringVar(&c.RedirectURL, "redirect-url", "", "`URL` that the client is registered with, on 127.0.0.1 or localhost; without a port, any free one")
	f.StringVar(&c.Scope, "scope", "", "`scope` to ask for")
	f.StringVar(&c.Resource, "resource", "", "resource `indicator` to ask for (RFC 8707)")
	f.BoolVar(&c.DPoP, "dpop", false, "prove a key with every refresh (RFC 9449)")
	f.BoolVar(&c.Cookie, "cookie", false, "the token endpoint is of the cookie style")
	f.StringVar(&c.RefreshCookie, "refresh-cookie", "", "`name` of the refresh token's cookie (refreshToken)")
	f.StringVar(&c.AccessCookie, "access-cookie", "", "`name` of the access token's cookie (accessToken)")
	f.StringVar(&c.AccessMember, "access-member", "", "`name` of the access token's JSON member (accessToken)")
	f.DurationVar(&c.GraceLimit, "grace-limit", 30*time.Second, "try for so long whether a second use is answered; 0: only at once")
	f.BoolVar(&c.Insecure, "insecure", false, "permit plain http to another machine")
	f.BoolVar(&o.yes, "yes", false, "carry out the plan")
	f.BoolVar(&o.json, "json", false, "print JSON")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 { // which may be a secret, and is not repeated
		return o, errors.New("an argument is none of the flags: secrets come from files or the environment")
	}
	if c.GraceLimit <= 0 {
		c.GraceLimit = -1
	}
	return o, nil
}

// secrets reads what must not be on the command line.
func (o *options) secrets(stdin io.Reader, getenv func(string) string) error {
	if o.secretFile == "-" && o.tokenFile == "-" {
		return errors.New("only one file can be standard input")
	}
	secret, err := read(o.secretFile, stdin, getenv("REBEARER_CLIENT_SECRET"))
	if err != nil {
		return err
	}
	o.config.Secret = strings.TrimRight(secret, "\r\n")
	tokens, err := read(o.tokenFile, stdin, getenv("REBEARER_REFRESH_TOKENS"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(tokens) {
		if line = strings.TrimSpace(line); line != "" {
			o.config.Sessions = append(o.config.Sessions, line)
		}
	}
	if o.keyFile != "" {
		o.config.Key, err = readKey(o.keyFile)
	}
	return err
}

// read reads a file, which may be standard input, or takes what there is
// otherwise. Its error names the file.
func read(name string, stdin io.Reader, otherwise string) (string, error) {
	const most = 1 << 20
	switch name {
	case "":
		return otherwise, nil
	case "-":
		b, err := io.ReadAll(io.LimitReader(stdin, most))
		return string(b), err
	}
	b, err := os.ReadFile(name)
	return string(b), err
}

func readKey(name string) (crypto.Signer, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s holds no key in PKCS #8", name)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds a key that does not sign", name)
	}
	return signer, nil
}
