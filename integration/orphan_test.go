package integration

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// launchers are one row of each launcher.
func launchers() (rows []server) {
	seen := map[string]bool{}
	for _, s := range servers {
		if s.folder != "" && !seen[s.folder] {
			seen[s.folder] = true
			rows = append(rows, s)
		}
	}
	return rows
}

// A launcher ends on SIGTERM, and when its stdin closes.
func TestLauncherEnds(t *testing.T) {
	t.Parallel()
	for _, s := range launchers() {
		t.Run(s.folder+" when its stdin closes", func(t *testing.T) {
			t.Parallel()
			l := launch(t, s, time.Minute, "CLIENTS=[]")
			must(t, l.stdin.Close())
			must(t, l.ends(t)) // exit status 0
		})
		t.Run(s.folder+" on SIGTERM", func(t *testing.T) {
			t.Parallel()
			if runtime.GOOS == "windows" {
				t.Skip("Windows has no SIGTERM")
			}
			l := launch(t, s, time.Minute, "CLIENTS=[]")
			must(t, l.cmd.Process.Signal(syscall.SIGTERM))
			l.ends(t) // a program in Go may well leave it to the system
		})
	}
}

func (l *launcher) ends(t *testing.T) error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- l.cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("it lives on")
		return nil
	}
}

// No launcher outlives a test binary that is killed and cannot clean up.
func TestLauncherIsNoOrphan(t *testing.T) {
	t.Parallel()
	if os.Getenv("REBEARER_TEST_DIE") != "" { // we are the binary to be killed
		for _, s := range launchers() {
			if s.folder == os.Getenv("REBEARER_TEST_DIE") {
				fmt.Println("issuer", launch(t, s, time.Minute, "CLIENTS=[]").Issuer)
				time.Sleep(time.Minute)
			}
		}
		return
	}
	for _, s := range launchers() {
		t.Run(s.folder, func(t *testing.T) {
			t.Parallel()
			isNoOrphan(t, s)
		})
	}
}

func isNoOrphan(t *testing.T, s server) {
	program(t, s) // skips here, since the other binary's skip would not be seen
	cmd := exec.Command(os.Args[0], "-test.run=^TestLauncherIsNoOrphan$")
	cmd.Env = append(os.Environ(), "REBEARER_TEST_DIE="+s.folder)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var addr string
	for lines := bufio.NewScanner(out); addr == "" && lines.Scan(); {
		if issuer, ok := strings.CutPrefix(lines.Text(), "issuer "); ok {
			u, err := url.Parse(issuer)
			must(t, err)
			addr = u.Host
		}
	}
	must(t, cmd.Process.Kill())
	cmd.Wait()
	if addr == "" {
		t.Fatal("the binary started no server")
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return // its port is closed
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatalf("the server at %s lives on", addr)
		}
	}
}
