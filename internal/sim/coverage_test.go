package sim_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// cover counts what happened, by what was known of the refresh token then.
func (w *world) cover(what string, g *generation) {
	state := "memory"
	switch {
	case g == nil:
		state = "no session"
	case w.store != nil:
		state = stateOf(w.store.get(g.id).Value)
	}
	w.counts["fault\t"+what+"\t"+state]++
}

// coverReplica counts what happened to a replica, by the entries that it was
// busy with.
func (w *world) coverReplica(what string, r *replica) {
	seen := map[*generation]bool{}
	for _, c := range w.pending {
		if c.replica == r && c.about != nil && !seen[c.about] {
			seen[c.about] = true
			w.cover(what, c.about)
		}
	}
	if len(seen) == 0 {
		w.counts["fault\t"+what+"\tidle"]++
	}
}

// states are what is known of a refresh token when something happens: what its entry
// says, or that it is in a process's memory, if at all.
var states = []string{"absent", "held", "done", "received", "failed", "over", "memory", "idle", "no session"}

// table prints the faults by the states of the entries that they met, and what
// else was counted.
func table(counts map[string]int) {
	rows := map[string]map[string]int{}
	var others []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		parts := strings.Split(k, "\t")
		if len(parts) < 3 {
			others = append(others, fmt.Sprintf("| %s | %d |", k, counts[k]))
			continue
		}
		if rows[parts[1]] == nil {
			rows[parts[1]] = map[string]int{}
		}
		rows[parts[1]][parts[2]] = counts[k]
	}
	fmt.Printf("\n| what happens | %s |\n|---|%s\n", strings.Join(states, " | "), strings.Repeat("---:|", len(states)))
	for _, row := range slices.Sorted(maps.Keys(rows)) {
		fmt.Printf("| %s |", row)
		for _, s := range states {
			fmt.Printf(" %d |", rows[row][s])
		}
		fmt.Println()
	}
	fmt.Printf("\n| what else | times |\n|---|---:|\n%s\n\n", strings.Join(others, "\n"))
}
