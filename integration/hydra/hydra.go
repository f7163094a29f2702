package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A hydra is the child process, which dies and is started again, over a folder
// with its configuration, its database and its sockets, which stays.
type hydra struct {
	dir           string
	public, admin *http.Client // of its two APIs; the host of their URLs is of no interest

	cmd    *exec.Cmd
	stdin  io.Closer
	exited chan struct{}
}

func newHydra(dir string) *hydra {
	return &hydra{dir: dir,
		public: &http.Client{Transport: overSocket(filepath.Join(dir, "public.sock"))},
		admin:  &http.Client{Transport: overSocket(filepath.Join(dir, "admin.sock"))},
	}
}

// overSocket keeps no connection: the other end may be killed at any time.
func overSocket(path string) *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
}

const config = `dsn: "sqlite://%[1]s/db.sqlite?_fk=true&mode=rwc"
serve:
  public: {host: "unix:%[1]s/public.sock"}
  admin: {host: "unix:%[1]s/admin.sock"}
urls:
  self: {issuer: "%[2]s", public: "%[2]s"}
  login: "%[2]s/login"
  consent: "%[2]s/consent"
secrets: {system: ["%[3]s"]}
strategies: {access_token: jwt}
ttl: {access_token: %[4]ss, refresh_token: %[5]ss}
oauth2:
  pkce: {enforced: true}
  grant: {refresh_token: {rotation_grace_period: %[6]s}}
log: {level: error}
sqa: {opt_out: true}
`

// prepare writes the configuration and makes the database.
func (h *hydra) prepare(issuer string) error {
	grace := os.Getenv("GRACE")
	if grace == "" {
		grace = "0s"
	}
	text := fmt.Appendf(nil, config, h.dir, issuer, rand.Text()+rand.Text(), os.Getenv("ACCESS_TTL"), os.Getenv("REFRESH_TTL"), grace)
	if err := os.WriteFile(filepath.Join(h.dir, "hydra.yaml"), text, 0o600); err != nil {
		return err
	}
	if err := h.start("migrate", "sql", "up", "--read-from-env", "--yes"); err != nil {
		return err
	}
	<-h.exited
	if !h.cmd.ProcessState.Success() {
		return errors.New("hydra could not make its database")
	}
	return nil
}

// start starts the child with a command of Hydra's.
func (h *hydra) start(command ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	h.cmd = exec.Command(self, append(command, "--config", filepath.Join(h.dir, "hydra.yaml"))...)
	h.cmd.Stderr = os.Stderr // on stdout is the whole text of the migrations
	// Hydra takes every variable that it knows for configuration, CLIENTS too.
	h.cmd.Env = []string{"HYDRA_FOLDER=" + h.dir, "HOME=" + h.dir}
	if h.stdin, err = h.cmd.StdinPipe(); err != nil { // never written to: see endWithParent
		return err
	}
	if err := h.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	h.exited = exited
	go func(cmd *exec.Cmd) {
		cmd.Wait()
		close(exited)
	}(h.cmd)
	return nil
}

// serve starts Hydra and returns when it is ready.
func (h *hydra) serve() error {
	for _, socket := range []string{"public.sock", "admin.sock"} { // whoever is killed leaves them
		os.Remove(filepath.Join(h.dir, socket))
	}
	if err := h.start("serve", "all", "--dev"); err != nil { // without --dev there is no plain HTTP
		return err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if h.call(http.MethodGet, "/health/ready", nil, nil) == nil {
			if resp, err := h.public.Get("http://hydra/health/alive"); err == nil { // its own socket may come later
				resp.Body.Close()
				return nil
			}
		}
		select {
		case <-h.exited:
			return errors.New("hydra ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.New("hydra is not ready after a minute")
}

// kill leaves Hydra no time to end anything.
func (h *hydra) kill() {
	h.cmd.Process.Kill()
	<-h.exited
}

// register makes the clients, who may ask for all that the tests ask for.
func (h *hydra) register(clients string) error {
	var list []map[string]any
	if err := json.Unmarshal([]byte(clients), &list); err != nil {
		return err
	}
	for _, client := range list {
		client["scope"] = "openid offline_access api"
		client["audience"] = []string{os.Getenv("AUDIENCE")}
		if client["token_endpoint_auth_method"] == "private_key_jwt" {
			client["token_endpoint_auth_signing_alg"] = "ES256"
		}
		if err := h.call(http.MethodPost, "/admin/clients", client, nil); err != nil {
			return err
		}
	}
	return nil
}

// rotate adds a key: the newest signs, and all are published. Hydra remembers
// the kid of each session from its sign-in, though. What a session that is older
// than the key gets by a refresh names the old key, is signed with the new one,
// and so does not verify; what a sign-in after it brings does.
func (h *hydra) rotate() error {
	return h.call(http.MethodPost, "/admin/keys/hydra.jwt.access-token", map[string]any{"alg": "RS256", "use": "sig", "kid": rand.Text()}, nil)
}

// call calls the admin API.
func (h *hydra) call(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, "http://hydra"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := h.admin.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		said, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s %s: %s %s", method, path, resp.Status, said)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
