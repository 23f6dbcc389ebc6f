package eventsource

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"sync"
)

// Memory implements Checkpoints in memory. Snapshot and Restore preserve them across a
// restart. The zero value is empty and ready to use.
type Memory struct {
	mu    sync.Mutex
	saved map[MappingID]map[string]Checkpoint
}

var _ Checkpoints = (*Memory)(nil)

// Load implements Checkpoints.
func (m *Memory) Load(mapping MappingID, shard string) (Checkpoint, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.saved[mapping][shard]
	return c, ok
}

// Save implements Checkpoints.
func (m *Memory) Save(mapping MappingID, shard string, c Checkpoint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.saved == nil {
		m.saved = make(map[MappingID]map[string]Checkpoint)
	}
	if m.saved[mapping] == nil {
		m.saved[mapping] = make(map[string]Checkpoint)
	}
	m.saved[mapping][shard] = c
}

// Snapshot writes all checkpoints as JSON.
func (m *Memory) Snapshot(w io.Writer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := json.NewEncoder(w).Encode(m.saved); err != nil {
		return fmt.Errorf("write checkpoints: %w", err)
	}
	return nil
}

// Restore replaces all checkpoints by those of a snapshot.
func (m *Memory) Restore(r io.Reader) error {
	var saved map[MappingID]map[string]Checkpoint
	if err := json.NewDecoder(r).Decode(&saved); err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saved = maps.Clone(saved)
	return nil
}
