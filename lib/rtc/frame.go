package rtc

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// FrameKind is the first byte of a binary frame on a data channel. All numbers of frames are
// little endian; docs/LIVE.md has their layouts with examples.
type FrameKind byte

// The kinds of frames. Receivers skip frames of other kinds, which later versions may add.
const (
	FrameLive          FrameKind = 1
	FrameClockRequest  FrameKind = 2
	FrameClockResponse FrameKind = 3
	FrameHeartbeat     FrameKind = 4
	FrameHistory       FrameKind = 16
)

// The data channels. Control and history are negotiated: both sides create them with these ids, and
// no message opens them; they are ordered and reliable. The live channel is opened by the viewer,
// unordered and without retransmission, since pion takes those settings only from the message that
// opens a channel.
const (
	ControlChannel = 0 // JSON text
	HistoryChannel = 2 // frames

	ControlLabel = "control"
	HistoryLabel = "history"
	LiveLabel    = "live" // frames
)

// Sizes of frames, in bytes.
const (
	// MaxFrameBytes bounds every frame: Chromium announces a=max-message-size:262144.
	MaxFrameBytes = 256 << 10
	// LiveFrameBytes is what a sender of live frames aims at, at most: such a frame is one packet of
	// pion's SCTP (1,200 bytes with its headers), so that a lost packet loses one frame and no other.
	LiveFrameBytes = 1150
	// MaxHistoryFrameBytes bounds a history frame.
	MaxHistoryFrameBytes = 64 << 10

	// LiveHeaderBytes is a live frame without ages and record; each event adds AgeBytes.
	LiveHeaderBytes = 20
	AgeBytes        = 4
	// HistoryHeaderBytes is a history frame without its record.
	HistoryHeaderBytes = 8

	clockRequestBytes  = 16
	clockResponseBytes = 32
	heartbeatBytes     = 16
	recordHeaderBytes  = 2

	historyLast       = 1 << 0
	recordCompression = 1 << 0
)

// LiveFrame carries the newest events of a gateway to one viewer.
type LiveFrame struct {
	// Seq counts the live frames of the viewer from 1, so that gaps are lost frames. It wraps at 2^32.
	Seq uint32
	// Sent is when the frame was handed to the channel, by the gateway's clock.
	Sent telemetry.Micros
	// Ages holds Sent minus the time at which the gateway's program read the value, in µs, of each
	// event in the record's order; math.MaxUint32 means that or more.
	Ages []uint32
	// Record is a record of lib/telemetry without compression. A decoded one is part of the frame's memory.
	Record []byte
}

// AppendLive appends a live frame whose events were read at the given times, one for each event of
// record. The frame's size is LiveHeaderBytes + AgeBytes × events + the record.
func AppendLive(dst []byte, seq uint32, sent telemetry.Micros, read []telemetry.Micros, record []byte) []byte {
	dst = append(dst, byte(FrameLive), 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, seq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(sent))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(read)))
	for _, r := range read {
		dst = binary.LittleEndian.AppendUint32(dst, age(sent, r))
	}
	return append(dst, record...)
}

// age is sent − read, between 0 and the largest uint32.
func age(sent, read telemetry.Micros) uint32 {
	if read >= sent {
		return 0
	}
	d := uint64(sent) - uint64(read) // exact also where the int64 difference overflows
	return uint32(min(d, math.MaxUint32))
}

// DecodeLive decodes a live frame into f and reuses f.Ages. The number of events is checked against
// the frame's size; that the record has as many is up to whoever decodes the record. The error wraps
// telemetry.ErrInvalid.
func DecodeLive(frame []byte, f *LiveFrame) error {
	if err := checkFrame(frame, FrameLive, LiveHeaderBytes, MaxFrameBytes); err != nil {
		return err
	}
	if frame[1] != 0 {
		return invalidFrame("live: unknown flags %#02x", frame[1])
	}
	n, rest := binary.LittleEndian.Uint32(frame[16:]), frame[LiveHeaderBytes:]
	if n == 0 || n > telemetry.MaxBatchEvents {
		return invalidFrame("live: %d events, want 1 to %d", n, telemetry.MaxBatchEvents)
	}
	if len(rest) < int(n)*AgeBytes {
		return invalidFrame("live: %d bytes after the header, want at least %d for the ages of %d events", len(rest), int(n)*AgeBytes, n)
	}
	record := rest[int(n)*AgeBytes:]
	if err := checkRecord("live", record); err != nil {
		return err
	}
	f.Seq = binary.LittleEndian.Uint32(frame[4:])
	f.Sent = telemetry.Micros(binary.LittleEndian.Uint64(frame[8:]))
	f.Ages = f.Ages[:0]
	for i := range int(n) {
		f.Ages = append(f.Ages, binary.LittleEndian.Uint32(rest[i*AgeBytes:]))
	}
	f.Record = record
	return nil
}

// HistoryFrame carries one record of the response to a history request.
type HistoryFrame struct {
	Request uint32 // id of the request
	Last    bool   // no frame of the request follows
	Record  []byte // without compression; a decoded one is part of the frame's memory
}

// AppendHistory appends a history frame.
func AppendHistory(dst []byte, f HistoryFrame) []byte {
	var flags byte
	if f.Last {
		flags = historyLast
	}
	dst = append(dst, byte(FrameHistory), flags, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, f.Request)
	return append(dst, f.Record...)
}

// DecodeHistory decodes a history frame. The error wraps telemetry.ErrInvalid.
func DecodeHistory(frame []byte) (HistoryFrame, error) {
	if err := checkFrame(frame, FrameHistory, HistoryHeaderBytes, MaxHistoryFrameBytes); err != nil {
		return HistoryFrame{}, err
	}
	if unknown := frame[1] &^ historyLast; unknown != 0 {
		return HistoryFrame{}, invalidFrame("history: unknown flags %#02x", unknown)
	}
	record := frame[HistoryHeaderBytes:]
	if err := checkRecord("history", record); err != nil {
		return HistoryFrame{}, err
	}
	return HistoryFrame{
		Request: binary.LittleEndian.Uint32(frame[4:]), Last: frame[1]&historyLast != 0, Record: record,
	}, nil
}

// ClockRequest asks the other side for its clock.
type ClockRequest struct {
	ID uint32
	T0 telemetry.Micros // sent, by the clock of the one who asks
}

// AppendClockRequest appends a clock request of 16 bytes.
func AppendClockRequest(dst []byte, r ClockRequest) []byte {
	dst = append(dst, byte(FrameClockRequest), 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, r.ID)
	return binary.LittleEndian.AppendUint64(dst, uint64(r.T0))
}

// DecodeClockRequest decodes a clock request. The error wraps telemetry.ErrInvalid.
func DecodeClockRequest(frame []byte) (ClockRequest, error) {
	if err := checkFrame(frame, FrameClockRequest, clockRequestBytes, clockRequestBytes); err != nil {
		return ClockRequest{}, err
	}
	return ClockRequest{ID: binary.LittleEndian.Uint32(frame[4:]), T0: micros(frame[8:])}, nil
}

// ClockResponse answers a ClockRequest, with the four timestamps of NTP but the last
// (RFC 5905, section 8), which the one who asked takes when it arrives.
type ClockResponse struct {
	ID uint32
	T0 telemetry.Micros // of the request
	T1 telemetry.Micros // request received, by the responder's clock
	T2 telemetry.Micros // response sent, by the responder's clock
}

// AppendClockResponse appends a clock response of 32 bytes.
func AppendClockResponse(dst []byte, r ClockResponse) []byte {
	dst = append(dst, byte(FrameClockResponse), 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, r.ID)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.T0))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.T1))
	return binary.LittleEndian.AppendUint64(dst, uint64(r.T2))
}

// DecodeClockResponse decodes a clock response. The error wraps telemetry.ErrInvalid.
func DecodeClockResponse(frame []byte) (ClockResponse, error) {
	if err := checkFrame(frame, FrameClockResponse, clockResponseBytes, clockResponseBytes); err != nil {
		return ClockResponse{}, err
	}
	return ClockResponse{
		ID: binary.LittleEndian.Uint32(frame[4:]), T0: micros(frame[8:]), T1: micros(frame[16:]), T2: micros(frame[24:]),
	}, nil
}

// Heartbeat says that the gateway is alive although it may have no events.
type Heartbeat struct {
	Seq  uint32 // from 1, wraps at 2^32
	Sent telemetry.Micros
}

// AppendHeartbeat appends a heartbeat of 16 bytes.
func AppendHeartbeat(dst []byte, h Heartbeat) []byte {
	dst = append(dst, byte(FrameHeartbeat), 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, h.Seq)
	return binary.LittleEndian.AppendUint64(dst, uint64(h.Sent))
}

// DecodeHeartbeat decodes a heartbeat. The error wraps telemetry.ErrInvalid.
func DecodeHeartbeat(frame []byte) (Heartbeat, error) {
	if err := checkFrame(frame, FrameHeartbeat, heartbeatBytes, heartbeatBytes); err != nil {
		return Heartbeat{}, err
	}
	return Heartbeat{Seq: binary.LittleEndian.Uint32(frame[4:]), Sent: micros(frame[8:])}, nil
}

func micros(p []byte) telemetry.Micros { return telemetry.Micros(binary.LittleEndian.Uint64(p)) }

// checkFrame checks kind and size. Reserved bytes are not checked: senders write 0, receivers skip them.
func checkFrame(frame []byte, kind FrameKind, minBytes, maxBytes int) error {
	switch {
	case len(frame) == 0:
		return invalidFrame("empty")
	case frame[0] != byte(kind):
		return invalidFrame("kind %d, want %d", frame[0], kind)
	case len(frame) < minBytes || len(frame) > maxBytes:
		return invalidFrame("kind %d: %d bytes, want %d to %d", kind, len(frame), minBytes, maxBytes)
	}
	return nil
}

// checkRecord rejects what no reader of live frames accepts: browsers decode records without zstd.
func checkRecord(what string, record []byte) error {
	if len(record) < recordHeaderBytes {
		return invalidFrame("%s: record of %d bytes, want at least %d", what, len(record), recordHeaderBytes)
	}
	if record[0] != telemetry.Version {
		return invalidFrame("%s: record of version %d, want %d", what, record[0], telemetry.Version)
	}
	if record[1]&recordCompression != 0 {
		return invalidFrame("%s: the record is compressed (flag %#02x), want it plain", what, recordCompression)
	}
	return nil
}

func invalidFrame(format string, args ...any) error {
	return fmt.Errorf("%w: frame: %s", telemetry.ErrInvalid, fmt.Sprintf(format, args...))
}
