package tokencache

// Advance is what a refresh does to its Cache at the end.
func (c *Cache) Advance(spent, next Token) { c.advance(spent, next, nil) }

// Watched is how many keys somebody waits for.
func (m *MemoryStore) Watched() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.waiters)
}

// Trace and Traced are what is noted of a refresh token that was exchanged.
func (c *Coordinator) Trace(t Token)       { c.traces.ended(t) }
func (c *Coordinator) Traced(t Token) bool { return c.traces.has(t) }
