// Package parity shows that the detector gives the same bits wherever it runs.
//
// Each place that can run it (this process, the WebAssembly module under several
// hosts, other processors) reads the same series and prints the same text: every
// [Stride] samples, and at the end, a line
//
//	NAME SAMPLES SCORES HASH STATE
//
// where SCORES is a SHA-256 of the scores and flags since the line before, HASH is
// that of the detector's state and STATE a SHA-256 of the state as it is saved.
// The first digest of each is 16 hexadecimal digits long. Two places agree when
// their texts are equal.
//
// # Files of series
//
// A series travels as a file whose name is the series' and which holds, little
// endian, the number of sensors n (8 bytes), then for each sample its time (a signed
// integer of 8 bytes, microseconds since 1970) and n values (float64). One sensor is scored by a
// detector, several by a machine.
package parity
