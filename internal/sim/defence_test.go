package sim_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var flagDefences = flag.Bool("sim.defences", false, "take lines of defence away, and count the schedules until that is found")

var flagEnough = flag.Int("sim.enough", 0, "how many schedules are enough to miss a line of defence; 0: 40000")

// defence is a line that keeps a promise, and what stands in its place when it is
// taken away.
type defence struct {
	what     string
	file     string // from the top of the module
	old, new string // old occurs once
}

// What tests of tokencache show, and no schedule can: that a lost lease is noticed
// after a refusal. Whoever has taken the entry meanwhile has left his word there,
// which a refusal does not overwrite, and where the Store has lost that, nothing is
// proved here.
var defences = []defence{
	{"a successor is overwritten by nobody", "tokencache/publish.go", "return r.state == over || l.succeeded(r)\n\t})", "return r.state == over\n\t})"},
	{"publishing heeds the end of a session", "tokencache/publish.go", "return r.state == over || l.succeeded(r)\n\t})", "return l.succeeded(r)\n\t})"},
	{"a lease is renewed", "tokencache/lead.go", "if !l.shared {\n\t\treturn func() {}\n\t}\n\tstopped", "if true {\n\t\treturn func() {}\n\t}\n\tstopped"},
	{"what was stolen is ambiguous", "tokencache/lead.go", "return l.stolen || l.from.Unanswered", "return l.from.Unanswered"},
	{"what was not answered is ambiguous", "tokencache/lead.go", "return l.stolen || l.from.Unanswered", "return l.stolen"},
	{"a successor is stored before it is seen", "tokencache/publish.go", "now, err := l.put(ctx, mine, began.Add(l.patience()), func", "now, err := func(_ context.Context, m record, _ time.Time, f func(record) bool) (record, *Error) {\n\tgo l.put(ctx, m, began.Add(l.patience()), f)\n\treturn m, nil\n}(ctx, mine, began.Add(l.patience()), func"},
	{"a logout walks on to the successor", "tokencache/revoke.go", "if next.IsZero() {\n\t\t\tbreak", "if true {\n\t\t\tbreak"},
	{"a logout marks the entry", "tokencache/revoke.go", "_, ok, err = x.swap(ctx, k, e.Version, tomb)", "ok = tomb.state == over"},
	{"a successor is found", "tokencache/walk.go", "case v.state.exchanged() && next.Refresh() != at.Refresh():", "case false:"},
	{"the newest link is walked to", "tokencache/walk.go", "if x.newest = next; v.fresh && next.replaces(x.spent) {", "if x.newest = next; next.replaces(x.spent) {"},
	{"a holder is waited for", "tokencache/walk.go", "if r.state != held {", "if true {"},
	{"a failure overwrites no successor", "tokencache/fail.go", "return r.state == over || l.succeeded(r) || others", "return r.state == over || others"},
	{"a failure overwrites nobody's word", "tokencache/fail.go", "return r.state == over || l.succeeded(r) || others", "return r.state == over || l.succeeded(r) || others && false"},
	{"nobody is taken for dead while writes fail", "tokencache/walk.go", "case now.Version == e.Version && x.shared && x.doubtful:", "case false:"},
	{"what was seen a moment ago is not all", "tokencache/seen.go", "if err != nil || x.traces.has(r.Token.token()) {", "if err != nil {"},
	{"a rival is waited out", "tokencache/fail.go", "if rest <= 0 {\n\t\t\treturn false, nil", "if rest <= l.patience() {\n\t\t\treturn false, nil"},
	{"a timeout is no proof", "tokencache/reason/reason.go", "case Refused, Ambiguous, SubjectChanged, LoggedOut, Replaced:", "case Refused, Ambiguous, SubjectChanged, LoggedOut, Replaced, Timeout, Network:"},
	{"only half a lease lets one present", "tokencache/lead.go", "if !l.shared || time.Since(began) < l.lease()/2 {", "if true {"},
	{"Grace begins when the successor was shown", "tokencache/publish.go", "if l.shown && l.at.Same(l.spent) {", "if true {"},
	{"Grace is a minute", "tokencache/publish.go", "asReceived(e.Value), l.grace())", "asReceived(e.Value), l.grace()/1000)"},
	{"the exchange goes on when its caller leaves", "tokencache/flight.go", "return <-guard(x.run, panicked), nil", "select {\ncase o := <-guard(x.run, panicked):\nreturn o, nil\ncase <-ctx.Done():\nreturn outcome{err: left(ctx)}, nil\n}"},
	{"the writer sets the cookies", "middleware/writer.go", "\t\treturn s.without(lines), err", "\t\treturn nil, nil"},
	{"the writer catches up", "middleware/writer.go", "if s.cache.CatchUp(s.request.Context()) != nil {", "if false {"},
	{"what is unstored is kept", "tokencache/publish.go", "l.local.Swap(ctx, l.id, l.localVersion(ctx), l.seal(mine), l.hold())\n", ""},
	{"a tomb stays while somebody may present", "tokencache/revoke.go", "newest.Same(t) && !known {", "newest.Same(t) && (!known || true) {"},
	{"who stood still looks before it serves", "tokencache/publish.go", "\t\tif unread == nil {\n", "\t\tif unread == nil && !late {\n"},
	{"a sign-in ends the session before it", "middleware/signin.go", "failed := s.auth.Coordinator.Replace(ctx, old.Token, t); failed != nil &&", "failed := ctx.Err(); old.IsZero() && failed != nil &&"},
	{"a fetch clears no cookies for a session that was replaced", "middleware/answer.go", "|| reasonOf(err) == reason.Replaced {", "{"},
}

// TestEachDefenceIsMissed takes them away one by one, two at a time.
func TestEachDefenceIsMissed(t *testing.T) {
	if !*flagDefences {
		t.Skip("builds the package anew for each defence that it takes away, which takes minutes: -sim.defences")
	}
	rows := make([]string, len(defences))
	t.Cleanup(func() {
		fmt.Printf("\n| what is taken away | found after | by |\n|---|---:|---|\n%s\n\n", strings.Join(rows, "\n"))
	})
	for i, d := range defences {
		t.Run(d.what, func(t *testing.T) {
			t.Parallel()
			after, by := d.missed(t)
			rows[i] = fmt.Sprintf("| %s | %s | %s |", d.what, after, by)
			t.Log(after, by)
		})
	}
}

var foundAfter = regexp.MustCompile(`schedule (\d+) of`)
var firstFailure = regexp.MustCompile(`seed \d+:\n\s+step \d+: (.*)`)

// missed says after how many schedules it is, and which promise is broken then.
func (d defence) missed(t *testing.T) (after, by string) {
	binary := d.build(t)
	n := cmp.Or(*flagEnough, 40000)
	cmd := exec.Command(binary, "-test.run", "NoScheduleBreaks", "-test.timeout", "10m", "-sim.for", "4m",
		"-sim.n", strconv.Itoa(n), "-sim.from", strconv.FormatUint(*flagFrom, 10))
	out, err := cmd.CombinedOutput()
	m, what := foundAfter.FindSubmatch(out), firstFailure.FindSubmatch(out)
	switch {
	case m != nil && what != nil:
		seed, _ := strconv.Atoi(string(m[1]))
		if r := runSeed(t, *flagFrom+uint64(seed)-1, nil, true); len(r.failures) > 0 {
			t.Errorf("it is not this that was missed, but something is wrong: %s", what[1])
		}
		return string(m[1]), string(what[1])
	case err != nil:
		return "?", "a crash: " + string(out[:min(len(out), 300)])
	}
	t.Errorf("nothing has noticed that this was taken away: %s", d.what)
	return fmt.Sprintf("not in %d, or 4 minutes", n), ""
}

// build makes the test's binary without the defence.
func (d defence) build(t *testing.T) (binary string) {
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(top, d.file)
	src, err := os.ReadFile(path)
	if err != nil || strings.Count(string(src), d.old) != 1 {
		t.Fatalf("the line is not in %s any more, or more than once: %v", d.file, err)
	}
	dir := t.TempDir()
	changed, overlay, binary := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sim.test")
	lay, _ := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	os.WriteFile(changed, []byte(strings.Replace(string(src), d.old, d.new, 1)), 0o600)
	os.WriteFile(overlay, lay, 0o600)
	if out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}
