package integration

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Node process ends on SIGTERM, and when its stdin closes.
func TestNodeEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*nodeServer) error{
		"stdin":   func(n *nodeServer) error { return n.stdin.Close() },
		"SIGTERM": func(n *nodeServer) error { return n.cmd.Process.Signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			if name == "SIGTERM" && runtime.GOOS == "windows" {
				t.Skip("Windows has no SIGTERM")
			}
			n := startNode(t, []string{"CLIENTS=[]", "ACCESS_TTL=60", "REFRESH_TTL=60"})
			must(t, end(n))
			ended := make(chan error, 1)
			go func() { ended <- n.cmd.Wait() }()
			select {
			case err := <-ended:
				must(t, err) // exit status 0
			case <-time.After(10 * time.Second):
				t.Fatal("it lives on")
			}
		})
	}
}

// No Node process outlives a test binary that is killed and cannot clean up.
func TestNodeIsNoOrphan(t *testing.T) {
	t.Parallel()
	if os.Getenv("REBEARER_TEST_DIE") != "" { // we are the binary to be killed
		fmt.Println("issuer", oidcProvider(t, time.Minute).Issuer)
		time.Sleep(time.Minute)
		return
	}
	nodeFolder(t) // skips here, since the other binary's skip would not be seen
	cmd := exec.Command(os.Args[0], "-test.run=^TestNodeIsNoOrphan$")
	cmd.Env = append(os.Environ(), "REBEARER_TEST_DIE=1")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var addr string
	for lines := bufio.NewScanner(out); addr == "" && lines.Scan(); {
		if issuer, ok := strings.CutPrefix(lines.Text(), "issuer "); ok {
			addr = strings.TrimPrefix(issuer, "http://")
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
