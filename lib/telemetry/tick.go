package telemetry

// TickVersion is the first byte of a tick; an encoded batch begins with Version.
const TickVersion = 'T'

// Tick returns a tick: a record without events. functions/clock puts one on each shard every
// few seconds, so that consumers, which know the time by the arrival of records, notice
// silence. It means nothing but its own arrival.
func Tick() []byte { return []byte{TickVersion, 0} }

// IsTick reports whether a message of the stream is a tick. What follows the first byte is
// for later versions, except the flags of a record with a checksum: that is one whose first
// byte was damaged.
func IsTick(message []byte) bool {
	if len(message) == 0 || message[0] != TickVersion {
		return false
	}
	return len(message) == 1 || message[1]|flagZstd != flagZstd|flagChecksum
}
