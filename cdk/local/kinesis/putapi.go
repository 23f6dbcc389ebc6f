package kinesis

import (
	"encoding/json"
	"strconv"
)

func (a *api) putRecords(m *putMemory, body, out []byte) ([]byte, error) {
	if err := m.put.decodeMany(body); err != nil {
		return nil, err
	}
	results, err := a.put(m)
	if err != nil {
		return nil, err
	}
	failed := 0
	for i := range results {
		if results[i].Error != "" {
			failed++
		}
	}
	out = append(out, `{"FailedRecordCount":`...)
	out = strconv.AppendInt(out, int64(failed), 10)
	out = append(out, `,"Records":[`...)
	for i := range results {
		if i > 0 {
			out = append(out, ',')
		}
		if r := &results[i]; r.Error == "" {
			out = appendPlaced(out, r)
		} else {
			out = append(out, `{"ErrorCode":"`...)
			out = append(out, r.Error...)
			out = append(out, `","ErrorMessage":`...)
			quoted, _ := json.Marshal(r.Message) //nolint:errchkjson // a string
			out = append(append(out, quoted...), '}')
		}
	}
	return append(out, `]}`...), nil
}

func (a *api) putRecord(m *putMemory, body, out []byte) ([]byte, error) {
	if err := m.put.decodeOne(body); err != nil {
		return nil, err
	}
	results, err := a.put(m)
	if err != nil {
		return nil, err
	}
	if r := results[0]; r.Error != "" {
		return nil, &Error{Type: r.Error, Message: r.Message}
	}
	return appendPlaced(out, &results[0]), nil
}

// put executes the decoded request.
func (a *api) put(m *putMemory) ([]PutResult, error) {
	name, err := streamRef{StreamName: m.put.stream, StreamARN: m.put.arn}.name()
	if err != nil {
		return nil, err
	}
	if m.put.dryRun {
		return nil, errorf(InvalidArgument, "DryRun is not implemented by the emulator.")
	}
	m.results, err = a.server.PutRecords(name, m.put.entries, m.results[:0])
	return m.results, err
}

// appendPlaced appends the result of a record that was stored.
func appendPlaced(out []byte, r *PutResult) []byte {
	out = append(out, `{"SequenceNumber":"`...)
	out = append(out, r.SequenceNumber...)
	out = append(out, `","ShardId":"`...)
	out = appendShardName(out, r.Shard)
	return append(out, `"}`...)
}

func appendShardName(out []byte, number uint32) []byte {
	out = append(out, "shardId-000000000000"...)
	for at := len(out); number > 0; number /= 10 {
		at--
		out[at] = '0' + byte(number%10)
	}
	return out
}
