package docs

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A newcomer follows a document from an empty folder, and sees what it says. Only
// the module is this one, rather than what is published, and the port is one that
// is free.
func TestANewcomer(t *testing.T) {
	for _, name := range documents(t) {
		var steps []block
		for _, b := range blocks(t, name) {
			if b.mark == "run" || b.mark == "file" || b.mark == "prints" {
				steps = append(steps, b)
			}
		}
		if len(steps) > 0 {
			t.Run(name, func(t *testing.T) { follow(t, steps) })
		}
	}
}

// newcomer is somebody in a folder of his own, with a shell.
type newcomer struct {
	t      *testing.T
	module string // the root of ours
	home   string
	folder string // where he is
	port   string // of the program, instead of that of the documents
}

const documented = "127.0.0.1:8080"

func follow(t *testing.T, steps []block) {
	need(t, "bash", "curl")
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n := &newcomer{t, here, home, home, free(t)}
	printed := ""
	for _, s := range steps {
		text := strings.ReplaceAll(s.text, documented, n.port)
		switch {
		case s.mark == "file":
			if err := os.WriteFile(filepath.Join(n.folder, s.what), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		case s.mark == "run" && s.what == "background":
			n.leave(s, text)
		case s.mark == "run":
			printed = n.run(s, text)
		case printed != text:
			t.Fatalf("%s:%d: it printed\n%s", s.file, s.line, printed)
		}
	}
}

// need skips a test that a command is missing for, or fails it where
// REBEARER_TEST_REQUIRE=all says that nothing may lack.
func need(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if _, err := exec.LookPath(c); err == nil {
			continue
		}
		if os.Getenv("REBEARER_TEST_REQUIRE") == "all" {
			t.Fatal("REBEARER_TEST_REQUIRE=all: there is no " + c)
		}
		t.Skip("there is no " + c)
	}
}

// free returns an address that nobody listens on.
func free(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// shell is a script in the newcomer's folder.
func (n *newcomer) shell(script string) *exec.Cmd {
	cmd := exec.CommandContext(n.t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = n.folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// What goes for the machine goes for him, but not what go test says.
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "HERE="+filepath.Join(n.home, "here"))
	return cmd
}

// run types a block, and returns what it prints.
func (n *newcomer) run(s block, text string) string {
	n.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := n.shell(text + "pwd >\"$HERE\"\n")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		n.t.Fatalf("%s:%d: %v\n%s%s", s.file, s.line, err, &stdout, &stderr)
	}
	here, err := os.ReadFile(filepath.Join(n.home, "here"))
	if err != nil {
		n.t.Fatal(err)
	}
	n.folder = strings.TrimSpace(string(here))
	n.replace()
	return stdout.String()
}

// replace has a new module use this one.
func (n *newcomer) replace() {
	n.t.Helper()
	if _, err := os.Stat(filepath.Join(n.folder, "go.mod")); err != nil {
		return
	}
	if out, err := n.shell("go mod edit -replace " + module + "='" + n.module + "'").CombinedOutput(); err != nil {
		n.t.Fatalf("%v\n%s", err, out)
	}
}

// leave types what goes on until the end, and waits until it listens.
func (n *newcomer) leave(s block, text string) {
	n.t.Helper()
	var out bytes.Buffer
	cmd := n.shell(text)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
	}()
	n.t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // go run and what it runs
		<-ended
	})
	for end := time.Now().Add(time.Minute); ; {
		if conn, err := net.Dial("tcp", n.port); err == nil {
			conn.Close()
			return
		}
		select {
		case <-ended:
			n.t.Fatalf("%s:%d: it ended\n%s", s.file, s.line, &out)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			n.t.Fatalf("%s:%d: nobody listens", s.file, s.line)
		}
	}
}
