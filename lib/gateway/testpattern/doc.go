// Package testpattern is a camera made of nothing: pictures of a machine's name and state, colour bars, a moving mark, and a time code
// that a program can read back from a decoded picture, encoded as H.264 in Go.
//
// The encoder knows one kind of picture, macroblocks of a single colour or with a letter on it, and codes it exactly: a flat macroblock
// is Intra16x16 with DC prediction and one coefficient, a letter I_PCM, what did not change P_Skip. Every second picture is disposable
// (nal_ref_idc 0). A decoded picture equals the drawn one, sample by sample.
//
// # The time code
//
// At the top left corner, 4 rows of 20 cells of 16 x 16 pixels, white (luma 235) for 1 and black (16) for 0, read row by row, most
// significant bit first:
//
//	48 bits  when the picture was made: the sender's clock, in 100 µs since the Unix epoch
//	16 bits  the number of the frame, which wraps
//	16 bits  CRC-16/CCITT-FALSE of the eight bytes before
//
// A reader compares the mean of a cell's inner 8 x 8 luma samples with 128, and drops a picture whose checksum is wrong.
package testpattern
