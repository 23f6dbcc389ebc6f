package telemetry

import "fmt"

// series is a pair of indexes into a record's dictionaries.
type series struct{ device, metric uint32 }

// remap numbers the names that a record uses, in the order of their first use.
type remap struct {
	record []uint32 // by index in the batch: index in the record + 1, or 0
	used   []uint32 // by index in the record: index in the batch
}

func (r *remap) reset(names int) {
	r.used = r.used[:0]
	if cap(r.record) < names {
		r.record = make([]uint32, names)
		return
	}
	r.record = r.record[:names]
	clear(r.record)
}

// index returns batch index i's index in the record, and whether it is new.
func (r *remap) index(i uint32) (index uint32, isNew bool) {
	if assigned := r.record[i]; assigned != 0 {
		return assigned - 1, false
	}
	r.used = append(r.used, i)
	r.record[i] = uint32(len(r.used))
	return uint32(len(r.used) - 1), true
}

// seriesIndex is a hash table from a batch's (device, metric) to the number of
// the series, open addressed, at most half full.
type seriesIndex struct {
	series []series // by series: its pair in the record
	keys   []uint64 // by series: its pair in the batch
	slots  []uint32 // series + 1, or 0
	shift  uint
}

const minSeriesSlotsLog2 = 8

func (x *seriesIndex) reset() {
	x.series, x.keys = x.series[:0], x.keys[:0]
	if x.slots == nil {
		x.resize(minSeriesSlotsLog2)
		return
	}
	clear(x.slots)
}

func (x *seriesIndex) resize(log2 uint) {
	x.slots = make([]uint32, 1<<log2)
	x.shift = 64 - log2
	for s, key := range x.keys {
		x.slots[x.slot(key)] = uint32(s) + 1
	}
}

// slot returns the slot of key, or the free slot to insert it.
func (x *seriesIndex) slot(key uint64) uint64 {
	mask := uint64(len(x.slots) - 1)
	for at := key * 0x9e3779b97f4a7c15 >> x.shift; ; at = (at + 1) & mask {
		if s := x.slots[at&mask]; s == 0 || x.keys[s-1] == key {
			return at & mask
		}
	}
}

// indexSeries numbers the series of b's events from..to-1 in the order of their
// first event, and so the devices and metrics.
func (e *Encoder) indexSeries(b *Batch, from, to int) error {
	e.devices.reset(len(b.Devices))
	e.metrics.reset(len(b.Metrics))
	e.series.reset()
	e.event = e.event[:0]
	x := &e.series
	metrics := b.Metric[from:to]
	next := 0 // the likely series: gateways report their series in a fixed order
	for i, d := range b.Device[from:to] {
		key := uint64(d)<<32 | uint64(metrics[i])
		if next >= len(x.keys) || x.keys[next] != key {
			at := x.slot(key)
			if x.slots[at] == 0 {
				if err := e.addSeries(b, key, at); err != nil {
					return err
				}
				next = len(x.keys) - 1
			} else {
				next = int(x.slots[at] - 1)
			}
		}
		e.event = append(e.event, uint32(next))
		if next++; next == len(x.keys) {
			next = 0
		}
	}
	return nil
}

func (e *Encoder) addSeries(b *Batch, key, at uint64) error {
	device, isNew := e.devices.index(uint32(key >> 32))
	if isNew {
		if err := ValidName(b.Devices[key>>32]); err != nil {
			return fmt.Errorf("batch: device %d: %w", key>>32, err)
		}
	}
	metric, isNew := e.metrics.index(uint32(key))
	if isNew {
		if err := ValidName(b.Metrics[uint32(key)]); err != nil {
			return fmt.Errorf("batch: metric %d: %w", uint32(key), err)
		}
	}
	x := &e.series
	x.series = append(x.series, series{device, metric})
	x.keys = append(x.keys, key)
	x.slots[at] = uint32(len(x.keys))
	if 2*len(x.keys) > len(x.slots) {
		x.resize(64 - x.shift + 1)
	}
	return nil
}
