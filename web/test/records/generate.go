package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// record is one line of the output.
type record struct {
	Record []byte `json:"record"`
	Error  string `json:"error,omitempty"`
	Batch  *batch `json:"batch,omitempty"`
}

// batch has the decoded columns; integers of 64 bits as text, and values by their bits.
type batch struct {
	Gateway  string   `json:"gateway"`
	Site     string   `json:"site"`
	Trace    string   `json:"trace"`
	Received string   `json:"received"`
	Device   []string `json:"device"` // by event
	Metric   []string `json:"metric"`
	Time     []string `json:"time"`
	Value    []string `json:"value"`
	Quality  []int    `json:"quality"`
	Rejected []int    `json:"rejected"` // the events that were left out
}

type generator struct {
	random     *rand.Rand
	encoder    *telemetry.Encoder
	compressed *telemetry.Encoder
	decoder    *telemetry.Decoder
	last       []byte // the message of the record before
}

func newGenerator(seed uint64) (*generator, error) {
	g := &generator{random: rand.New(rand.NewPCG(seed, 12))} //nolint:gosec // reproducible inputs of a test
	var err error
	if g.encoder, err = telemetry.NewEncoder(telemetry.NoCompression); err != nil {
		return nil, err
	}
	if g.compressed, err = telemetry.NewEncoder(telemetry.Zstd); err != nil {
		return nil, err
	}
	g.decoder, err = telemetry.NewDecoder(telemetry.DefaultLimits())
	return g, err
}

// next returns a record, damaged in two of three cases, and the decoder's result.
func (g *generator) next() (record, error) {
	encoder := g.encoder
	if g.random.IntN(50) == 0 {
		encoder = g.compressed
	}
	data, err := encoder.AppendRecord(nil, g.batch())
	if err != nil {
		return record{}, err
	}
	if g.random.IntN(3) > 0 && data[1] == 2 {
		data = g.damage(data)
	}
	return g.decoded(data), nil
}

// decoded returns the record with the decoder's result.
func (g *generator) decoded(data []byte) record {
	out := record{Record: data}
	var b telemetry.Batch
	if err := g.decoder.Decode(data, &b); err != nil {
		// protowire writes its errors with either kind of space, by the hash of the binary.
		out.Error = strings.ReplaceAll(err.Error(), "\u00a0", " ")
		return out
	}
	out.Batch = &batch{
		Gateway: string(b.Gateway), Site: string(b.Site), Trace: b.Trace, Received: strconv.FormatInt(int64(b.Received), 10),
		Rejected: []int{},
	}
	for i := range b.Len() {
		e := b.Event(i)
		out.Batch.Device = append(out.Batch.Device, string(e.Device))
		out.Batch.Metric = append(out.Batch.Metric, string(e.Metric))
		out.Batch.Time = append(out.Batch.Time, strconv.FormatInt(int64(e.Time), 10))
		out.Batch.Value = append(out.Batch.Value, fmt.Sprintf("%016x", math.Float64bits(e.Value)))
		out.Batch.Quality = append(out.Batch.Quality, int(e.Quality))
	}
	for _, r := range g.decoder.Rejected() {
		out.Batch.Rejected = append(out.Batch.Rejected, r.Event)
	}
	return out
}

// damage changes a record of an encoder without compression. Most of the results have no
// checksum, so that the decoder sees the damage itself.
func (g *generator) damage(data []byte) []byte {
	message := slices.Clone(data[2 : len(data)-4])
	before := g.last
	g.last = slices.Clone(message)
	switch g.random.IntN(8) {
	case 0: // as it was sent, damaged under its checksum
		data[g.random.IntN(len(data))] ^= 1 << g.random.IntN(8)
		return data
	case 1: // the flag of the checksum is lost
		data[1] = 0
		return data
	case 2: // cut short
		message = message[:g.random.IntN(len(message))]
	case 3: // two messages one after the other are one with the columns of both
		message = append(message, before...)
	case 4: // a piece of another
		if len(before) > 0 {
			from := g.random.IntN(len(before))
			message = slices.Insert(message, g.random.IntN(len(message)+1), before[from:min(len(before), from+1+g.random.IntN(12))]...)
		}
	default: // some bytes
		for range 1 + g.random.IntN(3) {
			at := g.random.IntN(len(message))
			switch g.random.IntN(4) {
			case 0:
				message[at] ^= 1 << g.random.IntN(8)
			case 1:
				message[at] = byte(g.random.Uint32())
			case 2:
				message = slices.Delete(message, at, min(len(message), at+1+g.random.IntN(3)))
				if len(message) == 0 {
					message = []byte{0}
				}
			default:
				long := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}
				message = slices.Insert(message, at, long[g.random.IntN(len(long)):]...)
			}
		}
	}
	if g.random.IntN(4) > 0 {
		return append([]byte{1, 0}, message...)
	}
	out := append([]byte{1, 2}, message...)
	return binary.LittleEndian.AppendUint32(out, crc32.Checksum(out, crc32.MakeTable(crc32.Castagnoli)))
}

func (g *generator) name(kind string) string {
	const letters = "abc 019-./é漢\ufeff😀"
	runes := []rune(letters)
	name := []rune(kind)
	for range g.random.IntN(4) {
		name = append(name, runes[g.random.IntN(len(runes))])
	}
	return string(name)
}

// batch returns 1 to 40 events with values of every kind that the codec distinguishes.
func (g *generator) batch() *telemetry.Batch {
	r := g.random
	b := &telemetry.Batch{}
	if r.IntN(2) == 0 {
		b.Gateway, b.Site = telemetry.GatewayID(g.name("g")), telemetry.SiteID(g.name("s"))
		b.Received, b.Trace = telemetry.Micros(r.Uint64()), g.name("t")
	}
	devices, metrics := 1+r.IntN(4), 1+r.IntN(4)
	names := make([]string, devices+metrics)
	kinds := make([]int, metrics)
	for i := range names {
		names[i] = g.name(strconv.Itoa(i))
	}
	for i := range kinds {
		kinds[i] = r.IntN(5)
	}
	at, step := telemetry.Micros(1796068347000000), telemetry.Micros(1000)
	if r.IntN(4) == 0 {
		at, step = telemetry.Micros(r.Uint64()), telemetry.Micros(r.Uint64())
	}
	regular := r.IntN(2) == 0
	for i := range 1 + r.IntN(40) {
		device, metric := i%devices, i/devices%metrics
		q := telemetry.Good
		if !regular {
			device, metric = r.IntN(devices), r.IntN(metrics)
			q = telemetry.Quality(r.IntN(3))
			step += telemetry.Micros(r.IntN(100)) - 50
		}
		at += step
		b.Append(telemetry.Event{
			Device: telemetry.DeviceName(names[device]), Metric: telemetry.MetricName(names[devices+metric]),
			Time: at, Value: g.value(kinds[metric]), Quality: q,
		})
	}
	return b
}

func (g *generator) value(kind int) float64 {
	r := g.random
	switch kind {
	case 0:
		return float64(r.IntN(2_000_000)-1_000_000) / 1000
	case 1:
		return float64(r.Int64N(1<<51) - 1<<50)
	case 2:
		return float64(r.IntN(100)) / math.Pow10(r.IntN(10))
	case 3:
		special := []float64{
			0, math.Copysign(0, -1), math.NaN(), math.Float64frombits(0x7ff0000000000001), math.Inf(1), math.Inf(-1),
			math.MaxFloat64, math.SmallestNonzeroFloat64, 0.1, 1 << 50, 1<<53 + 2, -(1 << 53), 1e-9, 1e22,
		}
		return special[r.IntN(len(special))]
	default:
		return math.Float64frombits(r.Uint64())
	}
}
