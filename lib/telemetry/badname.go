package telemetry

import (
	"fmt"
	"strings"
)

// badName is an entry of a dictionary that is not a valid name.
type badName struct {
	field field
	index int
	err   error
}

// Rejected returns the events of the last record that were left out since the name of their
// device or metric is not valid, by their index in the record; Batch is 0. The record is
// an error only if no event is left.
func (d *Decoder) Rejected() []RejectedEvent { return d.rejected }

// addBadName takes an entry of a dictionary that is not a valid name. An empty name stands
// for it until the events are known.
func (d *Decoder) addBadName(f field, b *Batch, err error) error {
	var unseen uint64
	if f == fieldDevices {
		d.badNames = append(d.badNames, badName{f, len(b.Devices), err})
		b.Devices = append(b.Devices, "")
		return d.newEntry(f, len(b.Devices)-1, &unseen)
	}
	d.badNames = append(d.badNames, badName{f, len(b.Metrics), err})
	b.Metrics = append(b.Metrics, "")
	return d.newEntry(f, len(b.Metrics)-1, &unseen)
}

// rejectBadNames takes the events with bad names out of the batch, and the names out of its
// dictionaries.
func (d *Decoder) rejectBadNames(b *Batch) {
	var reasons [2]map[uint32]string // of devices, of metrics
	reasons[0], reasons[1] = make(map[uint32]string), make(map[uint32]string)
	for _, bad := range d.badNames {
		reason := strings.TrimPrefix(bad.err.Error(), ErrInvalid.Error()+": ")
		if bad.field == fieldDevices {
			reasons[0][uint32(bad.index)] = "device: " + reason
		} else {
			reasons[1][uint32(bad.index)] = "metric: " + reason
		}
	}
	var devices, metrics []uint32 // the new indexes
	b.Devices, devices = without(b.Devices, reasons[0])
	b.Metrics, metrics = without(b.Metrics, reasons[1])
	n := 0
	for i, device := range b.Device {
		reason, bad := reasons[0][device]
		if !bad {
			reason, bad = reasons[1][b.Metric[i]]
		}
		if bad {
			d.rejected = append(d.rejected, RejectedEvent{Event: i, Reason: reason})
			continue
		}
		b.Device[n], b.Metric[n] = devices[device], metrics[b.Metric[i]]
		b.Time[n], b.Value[n], b.Quality[n] = b.Time[i], b.Value[i], b.Quality[i]
		n++
	}
	b.Device, b.Metric = b.Device[:n], b.Metric[:n]
	b.Time, b.Value, b.Quality = b.Time[:n], b.Value[:n], b.Quality[:n]
}

// without removes the names with those indexes, and returns the new index of each.
func without[T ~string](names []T, bad map[uint32]string) (left []T, index []uint32) {
	index = make([]uint32, len(names))
	left = names[:0]
	for i, name := range names {
		index[i] = uint32(len(left))
		if _, ok := bad[uint32(i)]; !ok {
			left = append(left, name)
		}
	}
	return left, index
}

// recordError is the error of a name in a record.
func recordError(f field, err error) error { return fmt.Errorf("record: %s: %w", f, err) }
