// Command hydra runs Ory Hydra for one test: rotation with reuse detection, JWT
// access tokens (RS256), SQLite in a temporary folder.
// The test says in the environment what there is: CLIENTS (their metadata,
// JSON), AUDIENCE (of the access tokens), ACCESS_TTL and REFRESH_TTL (seconds),
// and GRACE, Hydra's rotation_grace_period (0s if unset): for so long a spent
// refresh token brings yet another pair.
// Lines on stdin are commands: down, up and rotate.
//
//	go build -tags sqlite,sqlite_omit_load_extension
//
// Hydra cannot be stopped inside a process, so it has one of its own, which is
// this program again. It listens on Unix sockets only; in front of it is ours.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/ory/hydra/v2/cmd"
)

func main() {
	if len(os.Args) > 1 { // hydra's own command line: we are the child
		go endWithParent()
		cmd.Execute()
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// endWithParent ends the child when the launcher is gone, however it died. The
// temporary folder has nobody else to remove it then.
func endWithParent() {
	io.Copy(io.Discard, os.Stdin)
	os.RemoveAll(os.Getenv("HYDRA_FOLDER"))
	os.Exit(0)
}

func run() error {
	dir, err := os.MkdirTemp("", "hydra-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f, err := newFront(dir)
	if err != nil {
		return err
	}
	defer f.down()
	if err := f.hydra.prepare(f.issuer); err != nil {
		return err
	}
	if err := f.up(); err != nil {
		return err
	}
	if err := f.hydra.register(os.Getenv("CLIENTS")); err != nil {
		return err
	}
	say(map[string]any{"issuer": f.issuer})

	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, os.Interrupt)
	for lines := stdin(); ; {
		select {
		case <-term:
			return nil
		case line, ok := <-lines:
			if !ok { // the test holds our stdin: however it dies, the pipe closes
				return nil
			}
			if err := f.command(line); err != nil {
				say(map[string]any{"error": err.Error()})
			} else {
				say(map[string]any{"ok": true})
			}
		}
	}
}

func (f *front) command(line string) error {
	switch line {
	case "down":
		return f.down()
	case "up":
		return f.up()
	case "rotate":
		return f.rotate()
	}
	return fmt.Errorf("no command %s", line)
}

func stdin() <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- in.Text()
		}
	}()
	return lines
}

// say writes one line to stdout, which carries nothing else.
func say(line map[string]any) { json.NewEncoder(os.Stdout).Encode(line) }
