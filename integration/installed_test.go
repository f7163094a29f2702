package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// installed returns a folder of the user's cache with what a launcher needs to
// run: its sources with npm's packages beside them, or a program that was built.
// Its name is a hash of what went in, and it appears there whole, by a rename:
// so two may install at once, and no lock is left behind by one that is killed.
func installed(folder, tags string) (dir string, err error) {
	once, _ := installations.LoadOrStore(folder, sync.OnceValues(func() (string, error) { return install(folder, tags) }))
	return once.(func() (string, error))()
}

var installations sync.Map

const executable = "launcher.exe" // under another name Windows would not run it

func install(folder, tags string) (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "rebearer-integration")
	list, err := sources(folder)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(cache, folder+"-"+list.hash(tags))
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
	if list["go.mod"] != nil {
		err = build(folder, tags, filepath.Join(tmp, executable))
	} else {
		err = list.install(tmp)
	}
	if err != nil {
		return "", err
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, lost := os.Stat(dir); lost != nil {
			return "", err
		}
	}
	return dir, nil
}

// files are what a launcher is made of, by their names.
type files map[string][]byte

func sources(folder string) (files, error) {
	list := files{}
	for _, pattern := range []string{"*.go", "go.mod", "go.sum", "*.mjs", "package.json", "package-lock.json"} {
		names, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if list[filepath.Base(name)], err = os.ReadFile(name); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

func (f files) hash(tags string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %s %q", runtime.Version(), executable, tags, f) // in the order of their names
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func (f files) install(dir string) error {
	for name, b := range f {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return nil
}

// errBroken: all is there, and it does not build.
var errBroken = errors.New("the launcher does not build")

// build builds a launcher in its own module, where it stands. What it needs is
// had first, so that what fails then is nothing that is missing.
func build(folder, tags, program string) error {
	program, err := filepath.Abs(program)
	if err != nil {
		return err
	}
	run := func(args ...string) error {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = folder, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s in %s: %w\n%s", args[0], folder, err, out)
		}
		return nil
	}
	if err := run("list", "-deps", "-tags", tags, "."); err != nil {
		return err
	}
	if err := run("build", "-tags", tags, "-o", program, "."); err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return nil
}
