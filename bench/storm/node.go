//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// inNode are the runners in Node, and who measures the floor for each: the same
// client, since what Node takes for a request is not what Go takes.
var inNode = []struct{ name, floor string }{
	{"axios floor", "axios floor"},
	{"axios, the memo's interceptor", "axios floor"},
	{"axios-auth-refresh", "axios floor"},
	{"axios-auth-refresh, not deduplicated", "axios floor"},
	{"fetch floor", "fetch floor"},
	{"ky, hook", "fetch floor"},
	{"ky, hook that shares a promise", "fetch floor"},
}

// nodesPatience is how much more patience there is with Node, which has one thread.
const nodesPatience = 6

// node is a process in which they run.
type node struct {
	in  io.WriteCloser
	out *bufio.Reader
	cmd *exec.Cmd
}

// order is one round for it.
type order struct {
	Contender, Me, Token, API, AS string
	Access, Refresh               string
	Shape                         string
	N, Connections                int
	Patience                      int64 // in milliseconds
}

// startNode installs what the contenders need, once, and starts Node. Without Node
// or npm it says why it does not.
func startNode() (*node, error) {
	dir, err := nodeFolder()
	if err != nil {
		return nil, err
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("there is no %s", program)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err != nil {
		npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		npm.Dir = dir
		if text, err := npm.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("npm ci: %w: %s", err, text)
		}
	}
	cmd := exec.Command("node", "--expose-gc", "run.mjs")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &node{in: in, out: bufio.NewReader(out), cmd: cmd}, cmd.Start()
}

// nodeFolder looks from where one runs this program.
func nodeFolder() (string, error) {
	for _, dir := range []string{"node", "storm/node", "bench/storm/node"} {
		if _, err := os.Stat(filepath.Join(dir, "run.mjs")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("the folder storm/node is not here")
}

func (n *node) end() {
	n.in.Close()
	n.cmd.Wait()
}

// runners are those in Node. Where that takes long they take part in less.
func (n *node) runners(p plan) []runner {
	var all []runner
	for _, c := range inNode {
		if !p.takesPart(c.name) && !p.measuresFloor(c.name) {
			continue
		}
		all = append(all, runner{
			name: c.name, elsewhere: true,
			run: func(st *stage, shape string, size int, cookies pair) (outcome, error) {
				st.close()
				return n.round(st.servers, p, order{Contender: c.name, Access: cookies.Access, Refresh: cookies.Refresh, Shape: shape, N: size})
			},
			joins: func(shape string, size, round int) bool {
				switch {
				case shape == "known expiry", size >= 1000 && shape != "at once":
					return false
				case size >= 10_000:
					return round < min(2, p.node)
				default:
					return round < p.node
				}
			},
		})
	}
	return all
}

// measuresFloor reports whether a contender that is asked for needs this one.
func (p plan) measuresFloor(name string) bool {
	for _, c := range inNode {
		if c.floor == name && p.takesPart(c.name) {
			return true
		}
	}
	return false
}

func (n *node) round(s *servers, p plan, of order) (o outcome, err error) {
	of.Me, of.Token, of.API, of.AS = s.API+"/me", s.AS+"/token", s.API, s.AS
	of.Connections, of.Patience = connections, nodesPatience*p.patience.Milliseconds()
	line, err := json.Marshal(of)
	if err != nil {
		return o, err
	}
	if _, err := n.in.Write(append(line, '\n')); err != nil {
		return o, err
	}
	text, err := n.out.ReadBytes('\n')
	if err != nil {
		return o, fmt.Errorf("node ended: %w", err)
	}
	var answer struct {
		Failed, Left int
		Wall, CPU    int64 // nanoseconds
		Why          string
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return o, fmt.Errorf("%w: %s", err, text)
	}
	o = outcome{Failed: answer.Failed, Left: answer.Left, gaveUp: answer.Left > 0, Wall: time.Duration(answer.Wall), CPU: time.Duration(answer.CPU), why: answer.Why}
	o.counts, err = s.counts()
	return o, err
}
