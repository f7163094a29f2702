package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/rebearer/rebearer/middleware"
)

// config is what the environment says.
type config struct {
	addr                   string
	api                    string // base URL, without a slash at its end; "" means embedded
	style                  string
	tokenURL, revokeURL    string // of style oauth2
	clientID, clientSecret string // of style oauth2
	jwtSecret, jwksURL     string // at most one; neither: tokens are taken as they are
	redisURL               string // "" means that this process is the only one
	mode                   middleware.Mode
	insecureCookies        bool
	tokens                 string // where they live
	secret                 []byte // seals cookies
	replicas               int    // of this process
}

const (
	styleCookie = "cookie"
	styleOAuth2 = "oauth2"
)

// minSecret is the least that RFC 7518 section 3.2 allows for HS256, and what seals
// cookies.
const minSecret = 32

const maxReplicas = 4 // the page has so many colours

// readConfig reads the variables through getenv. Its error is one line, and
// quotes no secret.
func readConfig(getenv func(string) string) (config, error) {
	or := func(name, otherwise string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	c := config{
		addr:         or("BFF_ADDR", "127.0.0.1:8080"),
		style:        or("BFF_REFRESH_STYLE", styleCookie),
		clientID:     or("BFF_CLIENT_ID", "bff"),
		clientSecret: getenv("BFF_CLIENT_SECRET"),
		jwtSecret:    getenv("BFF_JWT_SECRET"),
		redisURL:     getenv("BFF_REDIS_URL"), // share checks it
		tokens:       or("BFF_TOKENS", tokensPlain),
		secret:       []byte(getenv("BFF_SECRET")),
		replicas:     1,
	}
	for _, v := range []struct {
		to   *string
		name string
	}{
		{&c.api, "BFF_API_URL"}, {&c.tokenURL, "BFF_TOKEN_URL"},
		{&c.revokeURL, "BFF_REVOKE_URL"}, {&c.jwksURL, "BFF_JWKS_URL"},
	} {
		*v.to = getenv(v.name)
		if err := checkURL(*v.to); err != nil {
			return c, fmt.Errorf("%s: %w", v.name, err)
		}
	}
	c.api = strings.TrimRight(c.api, "/")
	if err := c.choose(getenv); err != nil {
		return c, err
	}
	return c, c.check()
}

// choose reads the variables that have a set of values.
func (c *config) choose(getenv func(string) string) error {
	switch mode := getenv("BFF_MODE"); mode {
	case "", "inline":
		c.mode = middleware.Inline
	case "redirect":
		c.mode = middleware.Redirect
	default:
		return fmt.Errorf("BFF_MODE: %q is neither inline nor redirect", mode)
	}
	switch v := getenv("BFF_INSECURE_COOKIES"); v {
	case "", "0":
	case "1":
		c.insecureCookies = true
	default:
		return fmt.Errorf("BFF_INSECURE_COOKIES: %q is neither 1 nor 0", v)
	}
	if c.api == "" {
		c.replicas = 2 // so that there is something to watch
	}
	if v := getenv("BFF_REPLICAS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxReplicas {
			return fmt.Errorf("BFF_REPLICAS: %q is no number from 1 to %d", v, maxReplicas)
		}
		c.replicas = n
	}
	return c.seal()
}

// seal checks where the tokens are to live.
func (c *config) seal() error {
	switch {
	case c.tokens != tokensPlain && c.tokens != tokensSealed && c.tokens != tokensSessions:
		return fmt.Errorf("BFF_TOKENS: %q is neither %s nor %s nor %s", c.tokens, tokensPlain, tokensSealed, tokensSessions)
	case c.tokens != tokensSealed && len(c.secret) > 0:
		return errors.New("BFF_SECRET is for BFF_TOKENS=sealed")
	case c.tokens == tokensSealed && len(c.secret) == 0 && c.redisURL != "":
		return errors.New("BFF_SECRET is not set: processes that share sessions must open each other's cookies")
	case c.tokens == tokensSealed && len(c.secret) == 0:
		c.secret = newSecret()
	case c.tokens == tokensSealed && len(c.secret) < minSecret:
		return fmt.Errorf("BFF_SECRET: %d bytes are too short, it takes %d", len(c.secret), minSecret)
	}
	return nil
}

// check finds what does not go together.
func (c *config) check() error {
	if _, port, err := net.SplitHostPort(c.addr); err != nil {
		return fmt.Errorf("BFF_ADDR: %q is not of the form host:port", c.addr)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("BFF_ADDR: %q is no port number", port)
	}
	switch {
	case strings.Contains(c.api, "?"):
		return errors.New("BFF_API_URL: paths are appended to it, so it must have no query")
	case c.style != styleCookie && c.style != styleOAuth2:
		return fmt.Errorf("BFF_REFRESH_STYLE: %q is neither %s nor %s", c.style, styleCookie, styleOAuth2)
	case c.jwtSecret != "" && c.jwksURL != "":
		return errors.New("BFF_JWT_SECRET and BFF_JWKS_URL are both set: a token is verified in one way")
	case c.jwtSecret != "" && len(c.jwtSecret) < minSecret:
		return fmt.Errorf("BFF_JWT_SECRET: %d bytes are too short for HS256, which takes %d", len(c.jwtSecret), minSecret)
	case c.api == "" && (c.jwtSecret != "" || c.jwksURL != "" || c.tokenURL != "" || c.revokeURL != ""):
		// Half of somebody's servers and half of ours verify nothing.
		return errors.New("BFF_API_URL is not set: the embedded servers have endpoints and keys of their own, " +
			"so leave out BFF_JWT_SECRET, BFF_JWKS_URL, BFF_TOKEN_URL and BFF_REVOKE_URL")
	}
	return nil
}

// checkURL allows an absolute URL to which a token may be sent: https, or http
// on this machine. The rest of the program would refuse it too, but only when
// somebody is waiting.
func checkURL(raw string) error {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil: // its text quotes the URL, and with it what may be a password
		return errors.New("this is not a URL")
	case u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("it must begin with https:// or http://")
	case u.User != nil || u.Fragment != "":
		return errors.New("it must have neither user nor fragment")
	case u.Scheme == "http" && !onThisMachine(u.Hostname()):
		return fmt.Errorf("tokens would go to %s in plain text: use https", u.Hostname())
	}
	return nil
}

// onThisMachine is what net/http asks no proxy for: api.localhost it does.
func onThisMachine(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host == "localhost"
	}
	return addr.IsLoopback()
}
