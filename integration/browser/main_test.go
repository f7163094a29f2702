package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/rebearer/rebearer/internal/leak"
)

// What all tests share: the browser, and the program under test.
var (
	chromium context.Context // nil if there is no browser
	lacking  string          // why
	program  string          // path of the built examples/bff
)

func TestMain(m *testing.M) {
	code := run(m)
	if left := leak.Wait(5 * time.Second); code == 0 && len(left) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: %d goroutines outlive the tests:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// run is TestMain with a place for defer.
func run(m *testing.M) int {
	path, err := exec.LookPath("chromium")
	if err != nil {
		lacking = "chromium is not installed"
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "rebearer-browser-")
	if err != nil {
		return failed(err)
	}
	defer remove(dir)
	program = filepath.Join(dir, "bff")
	build := exec.Command("go", "build", "-o", program, "github.com/rebearer/rebearer/examples/bff")
	build.Dir = filepath.Join("..", "..") // in its own module, as everybody builds it
	if out, err := build.CombinedOutput(); err != nil {
		return failed(fmt.Errorf("examples/bff does not build: %w\n%s", err, out))
	}
	stop, err := launch(path, filepath.Join(dir, "profile"))
	if err != nil {
		return failed(err)
	}
	code := m.Run()
	if err := stop(); err != nil {
		return failed(err)
	}
	return code
}

// remove deletes a folder in which processes that are about to end may still
// write.
func remove(dir string) {
	for end := time.Now().Add(5 * time.Second); os.RemoveAll(dir) != nil && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, "FAIL:", err)
	return 1
}

// launch starts the browser, which asks nobody for anything that a test did not
// ask it for. Its processes end with stop, and with this one.
func launch(path, profile string) (stop func() error, err error) {
	allocator, free := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(profile),
		chromedp.NoSandbox, // tests in containers run as root
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		chromedp.WindowSize(1100, 1000),
		chromedp.WSURLReadTimeout(time.Minute),
	)...)
	var cancel context.CancelFunc
	chromium, cancel = chromedp.NewContext(allocator)
	stop = func() error {
		defer free()
		defer cancel()
		return chromedp.Cancel(chromium)
	}
	if err := chromedp.Do(chromium); err != nil {
		stop()
		return nil, fmt.Errorf("chromium does not start: %w", err)
	}
	return stop, nil
}

// require ends a test that has no browser: it is skipped, or has failed where
// REBEARER_TEST_REQUIRE=all says that nothing may lack.
func require(t *testing.T) {
	t.Helper()
	switch {
	case chromium != nil:
	case os.Getenv("REBEARER_TEST_REQUIRE") == "all":
		t.Fatal("REBEARER_TEST_REQUIRE=all: " + lacking)
	default:
		t.Skip(lacking)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
