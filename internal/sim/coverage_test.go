package sim_test

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
