//go:build unix

package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// report prints the figures, in Markdown.
func (w *world) report(e extent, took time.Duration) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n", w.t.Name())
	w.reportLoad(&b, e, took)
	w.reportFaults(&b)
	w.reportPresentations(&b)
	w.reportSeen(&b)
	w.reportHeld(&b)
	w.t.Log(b.String())
}

// row writes one of a table.
func row(b *strings.Builder, cells ...any) {
	for _, c := range cells {
		fmt.Fprintf(b, "| %v ", c)
	}
	b.WriteString("|\n")
}

// head writes the first two rows of a table, whose columns but the first are
// figures.
func head(b *strings.Builder, cells ...any) {
	b.WriteString("\n")
	row(b, cells...)
	b.WriteString("|---|" + strings.Repeat("--:|", len(cells)-1) + "\n")
}

func (w *world) reportLoad(b *strings.Builder, e extent, took time.Duration) {
	var all deeds
	for _, h := range w.after {
		all.Calls += h.Did.Calls
		all.Unauthorized += h.Did.Unauthorized
		all.Replayed += h.Did.Replayed
		all.More += h.Did.More
	}
	faults := 0
	for _, way := range w.ways {
		faults += len(way.windows)
	}
	head(b, "load", "")
	row(b, "seed", *seed)
	row(b, "duration, with what is before and after the faults", time.Since(w.began).Round(time.Second))
	row(b, "faults came and went for, at least", e.storm)
	row(b, "users", len(w.browsers))
	row(b, "requests of browsers", w.requests.Load())
	row(b, "calls of the API by the replicas", all.Calls)
	row(b, "requests that the API got", w.api.Counts().Requests)
	row(b, "401s of the API that a replica got", all.Unauthorized)
	row(b, "calls that were replayed", all.Replayed)
	row(b, "calls that were sent more than twice", all.More)
	row(b, "POSTs that the API carried out", len(w.ledger.comments))
	row(b, "POSTs that were answered with 200", len(w.posts))
	row(b, "faults injected", faults)
	row(b, "wrong answers", w.wrong.Load()+int64(w.api.Counts().Mixed))
	row(b, "sessions lost", w.lost())
	row(b, "every session worked after the last fault, within", took.Round(10*time.Millisecond))
	row(b, "times a process stood still for a second or more", len(w.stalls.all))
	row(b, "the longest of them", w.stalls.longest.Round(time.Millisecond))
}

func (w *world) reportFaults(b *strings.Builder) {
	columns, names := []any{"faults injected (connections that felt them)"}, map[string]bool{}
	for _, way := range w.ways {
		columns = append(columns, way.name)
		for name := range way.faults {
			names[name] = true
		}
	}
	head(b, columns...)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		cells := []any{name}
		for _, way := range w.ways {
			cell := "–"
			if n := way.faults[name]; n > 0 {
				cell = fmt.Sprintf("%d (%d)", n, w.felt(way)[name])
			}
			cells = append(cells, cell)
		}
		row(b, cells...)
	}
}

func (w *world) reportPresentations(b *strings.Builder) {
	counts := w.as.Counts()
	once := len(w.ledger.shown)
	for _, n := range w.again {
		once -= n
	}
	head(b, "refresh tokens", "")
	row(b, "presentations", w.ledger.total)
	row(b, "exchanged", counts.Refreshes)
	row(b, "refused", counts.Refused)
	row(b, "revocations", counts.Revocations)
	row(b, "requests whose answer a replica lost, be it before the server had them", len(w.ledger.lost))
	row(b, "refresh tokens presented once", once)
	for _, why := range slices.Sorted(maps.Keys(w.again)) {
		row(b, "refresh tokens presented again "+why, w.again[why])
	}
	for _, why := range slices.Sorted(maps.Keys(w.ended)) {
		row(b, "sessions that ended since theirs was presented again "+why, w.ended[why])
	}
	for _, line := range slices.Sorted(maps.Keys(w.ledger.logs)) {
		row(b, "logged: "+line, w.ledger.logs[line])
	}
}

// reportSeen says what the users saw.
func (w *world) reportSeen(b *strings.Builder) {
	kinds := slices.Sorted(maps.Keys(w.seen))
	columns, outcomes := []any{"what users saw"}, map[outcome]bool{}
	for _, kind := range kinds {
		columns = append(columns, kind)
		for came := range w.seen[kind] {
			outcomes[came] = true
		}
	}
	head(b, append(columns, "all")...)
	for _, came := range slices.Sorted(maps.Keys(outcomes)) {
		name, sum := string(came), 0
		if came == "" {
			name = "what they should"
		}
		cells := []any{name}
		for _, kind := range kinds {
			cells = append(cells, w.seen[kind][came])
			sum += w.seen[kind][came]
		}
		row(b, append(cells, sum)...)
	}
}

func (w *world) reportHeld(b *strings.Builder) {
	head(b, "what a replica holds", "heap in use", "of it tokens that verified", "exchanges", "what the runtime keeps of goroutines", "all else, without what is free", "goroutines", "files")
	for i := range w.after {
		row(b, fmt.Sprintf("replica %d before", i+1), w.before[i].cells())
		row(b, fmt.Sprintf("replica %d after", i+1), w.after[i].cells())
	}
	head(b, "what has grown most of all else", "by")
	for i := range w.after {
		names, by := grown(w.before[i], w.after[i])
		for _, name := range names {
			row(b, fmt.Sprintf("replica %d: %s", i+1, name), fmt.Sprintf("%.2f MB", float64(by[name])/(1<<20)))
		}
	}
}

// lost is how many sessions ended before their users left.
func (w *world) lost() int {
	families := map[*family]bool{}
	for _, l := range w.losses {
		families[l.family] = true
	}
	return len(families)
}
