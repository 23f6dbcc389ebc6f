// Package parity tests that the detector returns the same bits wherever it runs.
//
// Each platform (this process, the WebAssembly module under several hosts, other
// processors) reads the same series and prints its digest: every [Stride] samples, and at
// the end, a line
//
//	NAME SAMPLES SCORES HASH STATE
//
// where SCORES is a SHA-256 of the scores and flags since the previous line, HASH is the
// hash of the detector's state and STATE a SHA-256 of the saved state, each as 16
// hexadecimal digits. Two platforms agree when their digests are equal.
//
// # Files of series
//
// A file has the name of its series and contains, little endian, the number of sensors n (8
// bytes), then for each sample its time (a signed integer of 8 bytes, microseconds since
// 1970) and n values (float64). One sensor is scored by a detector, several by a machine.
package parity
