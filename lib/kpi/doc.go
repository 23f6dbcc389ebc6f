// Package kpi reduces a shard's events to key performance indicators: figures of
// every series, the time and count sums of ISO 22400-2 of every machine, and
// figures of the platform by gateway, each per window of event time. It is the
// pure core of a consumer of the stream: state and records in, state and samples
// out.
//
//	s, err := kpi.NewShard(config)
//	err = s.Decode(saved)              // unless this is the shard's first record
//	for each record { s.Observe(batch, arrival); s.Close(emit) }
//	saved = s.AppendBinary(saved[:0])
package kpi
