// Package telemetry defines the types of the domain (site, gateway, device, metric, event,
// batch) and the record codec: the encoding of a batch on its way from a gateway to the
// stream and from the stream to its consumers.
//
// # The record
//
//	byte 0   version, 1
//	byte 1   flags: bit 0 (0x01) = the message is compressed with zstd (RFC 8878)
//	                bit 1 (0x02) = a checksum follows the message
//	byte 2…  message insighthub.telemetry.v1.Batch of record.proto, in protobuf
//	last 4   with bit 1: the checksum, little endian
//
// A version other than 1 or a flag other than these is an error. New fields of the message are
// skipped by older readers.
//
// The checksum is CRC-32C (Castagnoli, as in iSCSI, RFC 3720: polynomial 0x1EDC6F41
// reflected, initial value and final XOR 0xFFFFFFFF) of the two bytes before the message and of
// the message as it is sent, so after compression. The Encoder always writes it, the Decoder verifies it
// where the flag is set. A record without the flag is accepted, unless it ends with
// the checksum that it would have with it: then the flag was lost. So each damaged byte of a
// record with a checksum is found, and more with a probability of all but 2^-32. One event of metric
// "m" of device "d", 20.5 at 1 µs, is, in hexadecimal:
//
//	01 02                  version, flags
//	2a 01 64  32 01 6d     devices "d", metrics "m"
//	3a 01 00  42 01 00     series_device 0, series_metric 0
//	4a 01 00  5a 01 02     series 0, times +1
//	82 01 01 02            scales 1+1
//	8a 01 02 9a 03         decimals 205
//	60 38 03 86            checksum 0x86033860
//
// The message is columnar. The dictionaries (devices, metrics) name each
// machine and quantity once; the series dictionary (series_device,
// series_metric) pairs them; each event then has one entry in each column:
//
//	series     difference from the event before, sint64, optional run lengths
//	times      difference from the event before, sint64, optional run lengths
//	qualities  0 good, 1 uncertain, 2 bad, optional run lengths; omitted = all good
//	values     double        the metric's scale is 0
//	decimals   sint64        the metric's scale is 1+e or 17+e
//
// A column with run lengths (series_runs, time_runs, quality_runs) has one entry
// per run; each run length is at least 1 and they sum to the number of events.
// For series and times every event of the run repeats the difference: series
// (0, +1, −2) with runs (1, 2, 1) is 0, 1, 2, 0. Sums wrap at 64 bits.
//
// Industrial readings are short decimals, so a metric whose values are all
// exactly k/10^e for integers |k| < 2^53 and 0 ≤ e ≤ 9 is written as those
// integers, absolute (scale 1+e) or as differences within each series (scale
// 17+e). Exactly means that float64(k)/10^e has the bits of the value, so every
// float64 is decoded to the same bits. If one value of a metric has no such form (−0, an
// infinity, NaN, more digits), all values of the metric are in values.
//
// The Encoder uses run lengths, scales and compression where they save bytes; the
// Decoder reads columns with or without them, fields in any order, packed or
// not, in one piece or several, as every protobuf reader must. It is stricter
// than others in one respect: a known field of the wrong wire type is
// an error, not an unknown field.
//
// # Ticks
//
// A record whose first byte is 84 ("T") is a tick and not a batch: byte 1 is 0, and there is
// nothing else. It only says, by its arrival, that the stream has got that far; consumers
// that keep a clock advance it, the others skip it (see [Tick] and docs/adr/0023). A
// Decoder rejects it, so that a gateway cannot send one through the API.
//
// # The raw form
//
// A sender may omit run lengths, qualities, scales, decimals and
// compression. What remains, for two devices with a temperature each, sampled
// twice:
//
//	bytes 1, 0, then the protobuf message
//	devices        "press-1", "press-2"
//	metrics        "temperature"
//	series_device  0, 1
//	series_metric  0, 0
//	series         0, +1, −1, +1                  (0, 1, 0, 1)
//	times          1795425713123456, 0, 100000, 0
//	values         71.25, 68.5, 71.5, 68.25
//
// Any protobuf library writes it from record.proto.
//
// # Errors and bounds
//
// Every error of the Decoder wraps ErrInvalid and says which field and which
// event is wrong. The Decoder checks the form (lengths, indexes, names,
// qualities) and bounds its memory by its Limits: what a record declares is
// compared with them before memory is allocated for it, and decompression ends as soon as
// a message exceeds InflatedBytes. It does not validate times and values: that is up to
// the one who accepts the events.
//
// Reuse Encoder, Decoder and Batch: once their memory has grown to the size of the
// batches, they do not allocate for events.
package telemetry
