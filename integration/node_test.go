package integration

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// oidcProvider starts npm's oidc-provider in a Node process: it rotates always,
// and a reuse, answered with 400 invalid_grant, kills the family. Each of env
// overrides a variable of server.mjs, such as "REFRESH_TTL=3".
func oidcProvider(t testing.TB, accessTTL time.Duration, env ...string) *authServer {
	t.Helper()
	// It form-decodes the secret of HTTP Basic, so that one full of what must
	// be encoded is the better test.
	as := newAuthServer(t, "s3cret +/:%&=?~")
	node := startNode(t, append([]string{
		"CLIENTS=" + as.nodeClients(t),
		"AUDIENCE=" + audience,
		fmt.Sprintf("ACCESS_TTL=%d", int(accessTTL.Seconds())),
		"REFRESH_TTL=3600",
	}, env...))
	as.reuseError, as.killsFamily = "invalid_grant", true
	as.discover(t, node.Issuer)
	return as
}

// nodeClients is the clients' metadata as RFC 7591 has it.
func (as *authServer) nodeClients(t testing.TB) string {
	t.Helper()
	var list []map[string]any
	for _, id := range clients {
		c := map[string]any{
			"client_id":                  id,
			"token_endpoint_auth_method": methods[id],
			"redirect_uris":              []string{callback},
			"grant_types":                []string{"authorization_code", "refresh_token"},
			"response_types":             []string{"code"},
		}
		switch methods[id] {
		case "client_secret_basic", "client_secret_post":
			c["client_secret"] = as.secret
		case "private_key_jwt":
			c["jwks"] = as.publicJWKS()
		}
		list = append(list, c)
	}
	b, err := json.Marshal(list)
	must(t, err)
	return string(b)
}

// A nodeServer is a running server.mjs, and the line with which it said so.
type nodeServer struct {
	Issuer string

	cmd   *exec.Cmd
	stdin io.Closer
}

func startNode(t testing.TB, env []string) *nodeServer {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("node", "server.mjs")
	cmd.Dir, cmd.Stderr, cmd.Env = nodeFolder(t), &stderr, append(os.Environ(), env...)
	stdin, err := cmd.StdinPipe() // never written to: see server.mjs
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	n := &nodeServer{cmd: cmd, stdin: stdin}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("oidc-provider said:\n%s", &stderr)
		}
	})
	tooLate := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer tooLate.Stop()
	if err := json.NewDecoder(stdout).Decode(n); err != nil {
		t.Fatalf("oidc-provider did not start: %v", err)
	}
	return n
}

// nodeFolder is the folder where server.mjs runs. The test is skipped where
// there can be none: without node, npm, or a way to npm's packages.
func nodeFolder(t testing.TB) string {
	t.Helper()
	require(t, "node", "npm")
	if version, err := exec.Command("node", "--print", "parseInt(process.versions.node)").Output(); err != nil || len(version) < 3 || string(version) < "20" {
		missing(t, "node is older than version 20, which oidc-provider needs")
	}
	dir, err := installed()
	if err != nil {
		missing(t, err.Error())
	}
	return dir
}

var (
	//go:embed oidc-provider/package.json
	packageJSON []byte
	//go:embed oidc-provider/package-lock.json
	packageLock []byte
	//go:embed oidc-provider/server.mjs
	serverMJS []byte
)

// installed returns a folder of the user's cache with server.mjs and what it
// needs beside it. Its name is a hash of what went in, and it appears there
// whole, by a rename: so two may install at once, and no lock is left behind by
// one that is killed.
var installed = sync.OnceValues(func() (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "rebearer-integration")
	sum := sha256.Sum256(bytes.Join([][]byte{packageJSON, packageLock, serverMJS}, []byte{0}))
	dir = filepath.Join(cache, hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	for name, b := range map[string][]byte{"package.json": packageJSON, "package-lock.json": packageLock, "server.mjs": serverMJS} {
		if err := os.WriteFile(filepath.Join(tmp, name), b, 0o644); err != nil {
			return "", err
		}
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = tmp
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, lost := os.Stat(dir); lost != nil {
			return "", err
		}
	}
	return dir, nil
})
