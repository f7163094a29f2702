package tokencache

// ValueFormat is the first byte of a value that says what it is.
const ValueFormat byte = format

// Held is how many bytes a MemoryStore says that it holds.
func (m *MemoryStore) Held() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.log == nil {
		return 0
	}
	return m.log.Held()
}
