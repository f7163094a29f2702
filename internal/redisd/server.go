//go:build unix

package redisd

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Need skips the test if a program is missing, and fails it where all are
// required. Valkey is not to be had everywhere, and never is.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("REBEARER_TEST_REQUIRE") == "all" && p != "valkey-server" {
			t.Fatalf("%s is required and was not found", p)
		}
		t.Skipf("needs %s, which was not found", p)
	}
}

// Server is a server process. It is stopped when its test ends.
type Server struct {
	t       testing.TB
	program string
	args    []string
	port    int
	process *os.Process
	ended   chan struct{}
	output  *buffer
}

// buffer is what a process has printed.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Start starts redis-server on a free port, with more arguments.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return StartProgram(t, "redis-server", args...)
}

// StartProgram is Start for a program that takes the arguments of redis-server.
func StartProgram(t testing.TB, program string, args ...string) *Server {
	t.Helper()
	Need(t, program)
	s := &Server{t: t, program: program, args: append([]string{
		"--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--appendonly", "no", "--enable-debug-command", "local",
	}, args...)}
	for range 5 { // a free port may be taken by somebody else before it is bound
		s.port = freePort(t)
		if s.start() {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatalf("%s does not start:\n%s", program, s.output)
	return nil
}

// freePort returns one that a Cluster can use, too: its bus has the port 10,000
// further up. Both are below what the kernel gives to clients, or a client could
// have the port when the server is started again.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		port = 11000 + port%10000
		free := true
		for _, p := range []int{port, port + 10000} {
			if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p)); err == nil {
				l.Close()
			} else {
				free = false
			}
		}
		if free {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// start reports whether the server answers.
func (s *Server) start() bool {
	s.output, s.ended = &buffer{}, make(chan struct{})
	cmd := exec.Command(s.program, append([]string{"--port", strconv.Itoa(s.port)}, s.args...)...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.output, s.output, attributes()
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // which the process may be tied to
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(s.ended)
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	s.process = cmd.Process
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		select {
		case <-s.ended:
			return false
		default:
		}
		// Not one that had the port before.
		if info, err := s.Do("INFO", "server"); err == nil && strings.Contains(fmt.Sprint(info), fmt.Sprintf("process_id:%d\r", s.process.Pid)) {
			return true
		}
	}
	s.Kill()
	return false
}

// Addr returns the host and port.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// Pause stops the process where it stands (SIGSTOP). The kernel goes on to take
// connections and bytes for it.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets it go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Kill ends the process at once, and returns when it has ended.
func (s *Server) Kill() {
	s.process.Signal(syscall.SIGKILL)
	<-s.ended
}

// Restart starts it again on the same port and in the same folder.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if !s.start() {
		s.t.Fatalf("%s does not start again:\n%s", s.program, s.output)
	}
}

// Must is Do for a command that may not fail.
func (s *Server) Must(args ...string) any {
	s.t.Helper()
	v, err := s.Do(args...)
	if err != nil {
		s.t.Fatalf("%s: %v", args[0], err)
	}
	return v
}

// Keys returns the names of all keys.
func (s *Server) Keys() []string {
	s.t.Helper()
	var keys []string
	for _, k := range s.Must("KEYS", "*").([]any) {
		keys = append(keys, k.(string))
	}
	return keys
}

// WithoutTTL returns the keys that live for ever.
func (s *Server) WithoutTTL() []string {
	s.t.Helper()
	var keys []string
	for _, k := range s.Keys() {
		if s.Must("PTTL", k) == int64(-1) {
			keys = append(keys, k)
		}
	}
	return keys
}

// Dump returns the names and values of all keys.
func (s *Server) Dump() []byte {
	s.t.Helper()
	var all []byte
	for _, k := range s.Keys() {
		if v, err := s.Do("GET", k); err == nil {
			all = fmt.Appendf(all, "%s\n%v\n", k, v)
		}
	}
	return all
}

// Monitor collects what MONITOR prints until stop is called.
func (s *Server) Monitor() (stop func() []byte) {
	s.t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := c.Write(command("MONITOR")); err != nil {
		s.t.Fatal(err)
	}
	ok := make([]byte, len("+OK\r\n"))
	if _, err := c.Read(ok); err != nil {
		s.t.Fatal(err)
	}
	var seen buffer
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 64<<10)
		for {
			n, err := c.Read(b)
			seen.Write(b[:n])
			if err != nil {
				return
			}
		}
	}()
	return func() []byte {
		mark := fmt.Sprintf("end of the monitor %d", time.Now().UnixNano())
		s.Do("ECHO", mark)
		for until := time.Now().Add(5 * time.Second); time.Now().Before(until) && !strings.Contains(seen.String(), mark); {
			time.Sleep(time.Millisecond)
		}
		c.Close()
		<-ended
		return []byte(seen.String())
	}
}
