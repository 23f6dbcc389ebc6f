package kinesis

import (
	"encoding/json"
	"sort"
)

type hashRangeView struct{ StartingHashKey, EndingHashKey string }

func (r hashRange) view() hashRangeView { return hashRangeView{r.first.String(), r.last.String()} }

type sequenceRangeView struct {
	StartingSequenceNumber string
	EndingSequenceNumber   string `json:",omitempty"`
}

type shardView struct {
	ShardId               string //nolint:revive // the API's spelling
	ParentShardId         string `json:",omitempty"` //nolint:revive // as above
	AdjacentParentShardId string `json:",omitempty"` //nolint:revive // as above
	HashKeyRange          hashRangeView
	SequenceNumberRange   sequenceRangeView
}

// view returns the shard in the API's form. Hold the stream's lock.
func (sh *shard) view() shardView {
	parent, adjacent := sh.parentNames()
	return shardView{
		ShardId: shardName(sh.number), ParentShardId: parent, AdjacentParentShardId: adjacent, HashKeyRange: sh.hashes.view(),
		SequenceNumberRange: sequenceRangeView{sh.created.String(), sh.ending},
	}
}

type modeView struct{ StreamMode Mode }

type metricsView struct{ ShardLevelMetrics []string }

type streamView struct {
	StreamName              string
	StreamARN               string
	StreamStatus            status
	StreamModeDetails       modeView
	StreamCreationTimestamp json.Number
	RetentionPeriodHours    int
	EncryptionType          string
	EnhancedMonitoring      []metricsView
}

// view returns what both descriptions of a stream have in common. Hold mu.
func (s *Server) view(st *stream) streamView {
	return streamView{
		StreamName: st.name, StreamARN: s.arn(st.name), StreamStatus: st.status(s.cfg.Now()),
		StreamModeDetails: modeView{st.mode}, StreamCreationTimestamp: seconds(st.created),
		RetentionPeriodHours: st.retentionHours, EncryptionType: "NONE",
		EnhancedMonitoring: []metricsView{{[]string{}}},
	}
}

// listLimit returns the Limit of DescribeStream or ListStreams.
func listLimit(given *int) (int, error) {
	switch {
	case given == nil:
		return 100, nil
	case *given < 1 || *given > 10_000:
		return 0, invalid(*given, "limit", "Member must have value between 1 and 10000")
	default:
		return *given, nil
	}
}

func (s *Server) describeStream(body []byte) (any, error) {
	var in struct {
		streamRef
		Limit                 *int
		ExclusiveStartShardId string //nolint:revive // the API's spelling
	}
	if err := unmarshal(body, &in); err != nil {
		return nil, err
	}
	limit, err := listLimit(in.Limit)
	if err != nil {
		return nil, err
	}
	st, err := s.lookup(in.streamRef)
	if err != nil {
		return nil, err
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	shards := []shardView{}
	more := false
	for _, sh := range st.listed(s.cfg.Now()) {
		if shardName(sh.number) <= in.ExclusiveStartShardId {
			continue
		}
		if more = len(shards) == limit; more {
			break
		}
		shards = append(shards, sh.view())
	}
	return map[string]any{"StreamDescription": struct {
		streamView
		HasMoreShards bool
		Shards        []shardView
	}{s.view(st), more, shards}}, nil
}

func (s *Server) describeStreamSummary(body []byte) (any, error) {
	var in streamRef
	if err := unmarshal(body, &in); err != nil {
		return nil, err
	}
	st, err := s.lookup(in)
	if err != nil {
		return nil, err
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	return map[string]any{"StreamDescriptionSummary": struct {
		streamView
		OpenShardCount     int
		ConsumerCount      int
		MaxRecordSizeInKiB int
	}{s.view(st), len(st.open), 0, st.maxRecordBytes >> 10}}, nil
}

func (s *Server) listStreams(body []byte) (any, error) {
	var in struct {
		Limit                    *int
		ExclusiveStartStreamName string
		NextToken                string
	}
	if err := unmarshal(body, &in); err != nil {
		return nil, err
	}
	limit, err := listLimit(in.Limit)
	if err != nil {
		return nil, err
	}
	after := max(in.ExclusiveStartStreamName, in.NextToken) // the token is the last name
	type summary struct {
		StreamName              string
		StreamARN               string
		StreamStatus            status
		StreamModeDetails       modeView
		StreamCreationTimestamp json.Number
	}
	out := struct {
		StreamNames     []string
		StreamSummaries []summary
		HasMoreStreams  bool
		NextToken       string `json:",omitempty"`
	}{StreamNames: []string{}, StreamSummaries: []summary{}}
	names := s.names()
	names = names[sort.Search(len(names), func(i int) bool { return names[i] > after }):]
	for _, name := range names {
		st, err := s.find(name)
		if err != nil {
			continue // deleted in the meantime
		}
		if len(out.StreamNames) == limit {
			out.HasMoreStreams, out.NextToken = true, out.StreamNames[limit-1]
			break
		}
		st.mu.RLock()
		v := s.view(st)
		st.mu.RUnlock()
		out.StreamNames = append(out.StreamNames, name)
		out.StreamSummaries = append(out.StreamSummaries, summary{
			v.StreamName, v.StreamARN, v.StreamStatus, v.StreamModeDetails, v.StreamCreationTimestamp,
		})
	}
	return out, nil
}
