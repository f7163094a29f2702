// Command fosite runs github.com/ory/fosite, the library below Ory Hydra, with
// its own MemoryStore for one test. It rotates refresh tokens always, and a
// reuse kills the family. Access tokens are JWTs, signed with ES256; at the
// introspection endpoint a refresh ends the one before. fosite rounds a JWT's
// exp to the nearest second and cuts expires_in, which so is ACCESS_TTL or one
// less: ask for two seconds at least.
//
// The environment says what there is: CLIENTS (metadata as RFC 7591 has it,
// JSON), AUDIENCE (of the access tokens), ACCESS_TTL and REFRESH_TTL (seconds).
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
	Audience              string
	AccessTTL, RefreshTTL time.Duration
}

func environment() (env settings, err error) {
	env.Audience = os.Getenv("AUDIENCE")
	if err := json.Unmarshal([]byte(os.Getenv("CLIENTS")), &env.Clients); err != nil {
		return env, fmt.Errorf("CLIENTS: %w", err)
	}
	if env.AccessTTL, err = seconds("ACCESS_TTL"); err != nil {
		return env, err
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
