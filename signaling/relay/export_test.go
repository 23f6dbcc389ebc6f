package relay

// Kill ends the relay as the death of its process does: its inbox stays until it expires.
func (r *Relay) Kill() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.bus.stop()
	_ = r.bus.client.Close()
	r.bus.done.Wait()
}
