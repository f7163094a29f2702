package sim_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var flagDefences = flag.Bool("sim.defences", false, "take lines of defence away, and count the schedules until that is found")

var flagWhich = flag.String("sim.which", "", "only the defences with this in their name")

// defence is a line that keeps a promise, and what stands in its place when it is
// taken away.
type defence struct {
	what     string
	file     string // from the top of the module
	old, new string // old occurs once
}

// Those that take two faults at two right moments are not here: the model finds
// them (docs/model), and thousands of schedules do not. They are that a lost lease is
// noticed after a refusal, that no failure overwrites somebody's word that the
// session has ended, and that nobody is taken for dead while writes fail. Nor is it
// that what was seen a moment ago is not all: the writer catches up in any case.
var defences = []defence{
	{"a successor is overwritten by nobody", "tokencache/lead.go", "return r.state == over || l.succeeded(r)\n\t})", "return r.state == over\n\t})"},
	{"publishing heeds the end of a session", "tokencache/lead.go", "return r.state == over || l.succeeded(r)\n\t})", "return l.succeeded(r)\n\t})"},
	{"a lease is renewed", "tokencache/lead.go", "if !l.shared {\n\t\treturn func() {}\n\t}\n\tstopped", "if true {\n\t\treturn func() {}\n\t}\n\tstopped"},
	{"what was stolen is ambiguous", "tokencache/lead.go", "return l.stolen || l.from.Unanswered", "return l.from.Unanswered"},
	{"what was not answered is ambiguous", "tokencache/lead.go", "return l.stolen || l.from.Unanswered", "return l.stolen"},
	{"a successor is stored before it is seen", "tokencache/lead.go", "now, err := l.put(ctx, mine, began.Add(l.patience()), func", "now, err := func(_ context.Context, m record, _ time.Time, f func(record) bool) (record, *Error) {\n\tgo l.put(ctx, m, began.Add(l.patience()), f)\n\treturn m, nil\n}(ctx, mine, began.Add(l.patience()), func"},
	{"a logout walks on to the successor", "tokencache/revoke.go", "if next.IsZero() {\n\t\t\tbreak", "if true {\n\t\t\tbreak"},
	{"a logout marks the entry", "tokencache/revoke.go", "_, ok, err = x.swap(ctx, k, e.Version, tomb)", "ok = tomb.state == over"},
	{"a successor is found", "tokencache/walk.go", "case v.state.exchanged() && next.Refresh() != at.Refresh():", "case false:"},
	{"the newest link is walked to", "tokencache/walk.go", "if x.newest = next; v.fresh && next.replaces(x.spent) {", "if x.newest = next; next.replaces(x.spent) {"},
	{"a holder is waited for", "tokencache/walk.go", "if r.state != held {", "if true {"},
	{"a failure overwrites no successor", "tokencache/fail.go", "return r.state == over || l.succeeded(r) || others", "return r.state == over || others"},
	{"a rival is waited out", "tokencache/fail.go", "if rest <= 0 {\n\t\t\treturn false, nil", "if rest <= l.patience() {\n\t\t\treturn false, nil"},
	{"a timeout is no proof", "tokencache/reason/reason.go", "case Refused, Ambiguous, SubjectChanged, LoggedOut, Replaced:", "case Refused, Ambiguous, SubjectChanged, LoggedOut, Replaced, Timeout, Network:"},
	{"only half a lease lets one present", "tokencache/lead.go", "if !l.shared || time.Since(began) < l.lease()/2 {", "if true {"},
	{"Grace begins when the successor was shown", "tokencache/lead.go", "if l.shown && l.at.Same(l.spent) {", "if true {"},
	{"Grace is a minute", "tokencache/lead.go", "asReceived(e.Value), l.grace())", "asReceived(e.Value), l.grace()/1000)"},
	{"the exchange goes on when its caller leaves", "tokencache/flight.go", "return <-guard(x.run, panicked), nil", "select {\ncase o := <-guard(x.run, panicked):\nreturn o, nil\ncase <-ctx.Done():\nreturn outcome{err: left(ctx)}, nil\n}"},
	{"the writer sets the cookies", "middleware/writer.go", "\tlines, err := s.auth.lines(t)\n\ts.handed = t", "\tvar lines []string\n\tvar err error\n\ts.handed = t"},
	{"the writer catches up", "middleware/writer.go", "if s.cache.CatchUp(s.request.Context()) != nil {", "if false {"},
	{"what is unstored is kept", "tokencache/lead.go", "l.local.Swap(ctx, l.id, l.localVersion(ctx), l.seal(mine), l.hold())\n", ""},
	{"a tomb stays while somebody may present", "tokencache/revoke.go", "newest.Same(t) && !known {", "newest.Same(t) && (!known || true) {"},
	{"who stood still looks before it serves", "tokencache/lead.go", "\t\tif unread == nil {\n", "\t\tif unread == nil && !late {\n"},
	{"a sign-in ends the session before it", "middleware/signin.go", "err := a.Coordinator.Replace(ctx, old, t)", "err := func(...any) error { return nil }(ctx, old, t)"},
	{"a fetch clears no cookies for a session that was replaced", "middleware/answer.go", "|| reasonOf(err) == reason.Replaced {", "{"},
}

// TestEachDefenceIsMissed takes them away one by one.
func TestEachDefenceIsMissed(t *testing.T) {
	if !*flagDefences {
		t.Skip("builds the package anew for each defence that it takes away, which takes minutes: -sim.defences")
	}
	for _, d := range defences {
		if *flagWhich != "" && !strings.Contains(d.what, *flagWhich) {
			continue
		}
		found, after := d.missed(t)
		t.Logf("%-60s %-10s %s", d.what, found, after)
		if found != "found" {
			t.Errorf("%s: %s", d.what, found)
		}
	}
}

var foundAfter = regexp.MustCompile(`schedule (\d+) of`)
var firstFailure = regexp.MustCompile(`seed \d+:\n\s+step \d+: (.*)`)

func (d defence) missed(t *testing.T) (verdict, after string) {
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(top, d.file)
	src, err := os.ReadFile(path)
	if err != nil || strings.Count(string(src), d.old) != 1 {
		return "STALE", ""
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	lay, _ := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	os.WriteFile(changed, []byte(strings.Replace(string(src), d.old, d.new, 1)), 0o600)
	os.WriteFile(overlay, lay, 0o600)
	cmd := exec.Command("go", "test", "-count=1", "-vet=off", "-timeout=300s", "-overlay", overlay, "-run", "NoScheduleBreaks", ".",
		"-sim.n", flag.Lookup("sim.n").Value.String(), "-sim.from", flag.Lookup("sim.from").Value.String())
	out, err := cmd.CombinedOutput()
	switch m := foundAfter.FindSubmatch(out); {
	case strings.Contains(string(out), "[build failed]"):
		return "BUILD", string(out)
	case m != nil:
		what := firstFailure.FindSubmatch(out)
		if what == nil {
			return "found", string(m[1])
		}
		return "found", string(m[1]) + ": " + string(what[1])
	case err != nil:
		return "found", "crash: " + string(out[:min(len(out), 300)])
	}
	return "SURVIVED", ""
}
