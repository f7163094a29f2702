// Command zitadel runs the example OpenID Provider of github.com/zitadel/oidc
// for one test, on 127.0.0.1 only, where its own main binds every interface. It
// rotates refresh tokens always, kills no family, and ends an access token with
// the refresh token beside it. Access tokens are a JWE to the provider itself:
// nobody else can read them, so an API has to ask for introspection.
//
// The environment says what there is: CLIENTS (metadata as RFC 7591 has it,
// JSON), ACCESS_TTL (seconds, 300 at most) and REFRESH_TTL (seconds). AUDIENCE
// is not used: the example makes the client the audience of its access tokens.
// The answer is one line of JSON with the issuer. From then on each line of
// stdin is a command, answered by a line as well: down, up, rotate. The test
// holds our stdin: however it dies, the pipe closes and we end with it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"
)

func main() {
	env, err := environment()
	if err != nil {
		log.Fatal(err)
	}
	s, err := newServer(env)
	if err != nil {
		log.Fatal(err)
	}
	say(map[string]any{"issuer": s.issuer})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := s.obey(lines.Text()); err != nil {
			say(map[string]any{"error": err.Error()})
			continue
		}
		say(map[string]any{"ok": true})
	}
}

// say writes one line to stdout, which carries nothing else.
func say(line map[string]any) {
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		log.Fatal(err)
	}
}

// settings are what the test asked for.
type settings struct {
	Clients               []metadata
	AccessTTL, RefreshTTL time.Duration
}

// exampleTTL is how long the example keeps an access token. It is written into
// its source, and so more than that cannot be had.
const exampleTTL = 5 * time.Minute

func environment() (env settings, err error) {
	if err := json.Unmarshal([]byte(os.Getenv("CLIENTS")), &env.Clients); err != nil {
		return env, fmt.Errorf("CLIENTS: %w", err)
	}
	if env.AccessTTL, err = seconds("ACCESS_TTL"); err != nil {
		return env, err
	}
	if env.AccessTTL > exampleTTL {
		return env, fmt.Errorf("ACCESS_TTL: %s at most", exampleTTL)
	}
	env.RefreshTTL, err = seconds("REFRESH_TTL")
	return env, err
}

func seconds(name string) (time.Duration, error) {
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%s: want a number of seconds, not %q", name, os.Getenv(name))
	}
	return time.Duration(n) * time.Second, nil
}
