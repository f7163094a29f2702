package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A launcher is a running program of ours that runs a server of somebody else:
// it says on stdout where that is, and obeys what it is told on stdin.
type launcher struct {
	Issuer string

	cmd     *exec.Cmd
	stdin   io.WriteCloser
	replies *json.Decoder
}

// startLauncher starts an authorization server in a process of its own.
func startLauncher(t testing.TB, s server, accessTTL time.Duration, env ...string) running {
	t.Helper()
	as := newAuthServer(t, s)
	l := launch(t, s, accessTTL, append(env, "CLIENTS="+as.metadata(t))...)
	as.obey = l.obey
	as.discover(t, l.Issuer)
	return as
}

// launch starts the launcher of a row. Each of env overrides what is said here,
// such as "REFRESH_TTL=3".
func launch(t testing.TB, s server, accessTTL time.Duration, env ...string) *launcher {
	t.Helper()
	var stderr bytes.Buffer
	cmd := program(t, s)
	cmd.Stderr, cmd.Env = &stderr, append(os.Environ(), "AUDIENCE="+audience, "REFRESH_TTL=3600",
		fmt.Sprintf("ACCESS_TTL=%d", int(accessTTL.Seconds())))
	cmd.Env = append(append(cmd.Env, s.env...), env...)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	l := &launcher{cmd: cmd, stdin: stdin, replies: json.NewDecoder(stdout)}
	t.Cleanup(func() {
		stdin.Close() // which ends it, and gives it the time to tidy up
		tooLate := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		tooLate.Stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", s.name, &stderr)
		}
	})
	if err := l.read(l); err != nil || l.Issuer == "" {
		t.Fatalf("%s did not start: %v", s.name, err)
	}
	return l
}

// obey has the launcher do what it can be told: "down" (the process of the
// server is gone, its database is not), "up" (it is there again, at the same
// port) and "rotate" (a new key signs, the old one is still published).
func (l *launcher) obey(command string) error {
	if _, err := io.WriteString(l.stdin, command+"\n"); err != nil {
		return err
	}
	var reply struct{ Error string }
	if err := l.read(&reply); err != nil {
		return err
	}
	if reply.Error != "" {
		return fmt.Errorf("%s: %s", command, reply.Error)
	}
	return nil
}

// read reads a line of stdout, for which a minute is more than enough.
func (l *launcher) read(into any) error {
	tooLate := time.AfterFunc(time.Minute, func() { l.cmd.Process.Kill() })
	defer tooLate.Stop()
	return l.replies.Decode(into)
}

// program is the launcher of a folder, ready to be run. The test is skipped
// where there can be none: without what it is made with, or a way to what it is
// made of.
func program(t testing.TB, s server) *exec.Cmd {
	t.Helper()
	if s.heavy && os.Getenv("REBEARER_TEST_HYDRA") == "" {
		t.Skip(s.folder + " takes ten minutes to build the first time: REBEARER_TEST_HYDRA=1 go test -timeout 30m")
	}
	if _, err := os.Stat(filepath.Join(s.folder, "go.mod")); err == nil {
		require(t, "go")
	} else {
		require(t, "node", "npm")
		if version, err := exec.Command("node", "--print", "parseInt(process.versions.node)").Output(); err != nil || len(version) < 3 || string(version) < "20" {
			missing(t, "node is older than version 20, which the servers need")
		}
	}
	dir, err := installed(s.folder, s.tags)
	if errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	if err != nil {
		missing(t, err.Error())
	}
	if _, err := os.Stat(filepath.Join(s.folder, "go.mod")); err == nil {
		return exec.Command(filepath.Join(dir, executable))
	}
	cmd := exec.Command("node", "server.mjs")
	cmd.Dir = dir
	return cmd
}
