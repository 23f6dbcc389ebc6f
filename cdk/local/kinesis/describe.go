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

// view is the shard as the API shows it. Hold the stream's lock.
func (sh *shard) view() shardView {
	v := shardView{
		ShardId: shardName(sh.number), HashKeyRange: sh.hashes.view(),
		SequenceNumberRange: sequenceRangeView{sh.created.String(), sh.ending},
	}
	if len(sh.parents) > 0 {
		v.ParentShardId = shardName(sh.parents[0])
	}
	if len(sh.parents) > 1 {
		v.AdjacentParentShardId = shardName(sh.parents[1])
	}
	return v
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

// view is what every description has. Hold mu.
func (s *Server) view(st *stream) streamView {
	return streamView{
		StreamName: st.name, StreamARN: s.arn(st.name), StreamStatus: st.status(s.cfg.Now()),
		StreamModeDetails: modeView{st.mode}, StreamCreationTimestamp: seconds(st.created),
		RetentionPeriodHours: st.retentionHours, EncryptionType: "NONE",
		EnhancedMonitoring: []metricsView{{[]string{}}},
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
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	if limit < 1 || limit > 10_000 {
		return nil, invalid(limit, "limit", "Member must have value between 1 and 10000")
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
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	if limit < 1 || limit > 10_000 {
		return nil, invalid(limit, "limit", "Member must have value between 1 and 10000")
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
			continue // deleted meanwhile
		}
		if len(out.StreamNames) == limit {
			out.HasMoreStreams, out.NextToken = true, out.StreamNames[limit-1]
			break
		}
		st.mu.RLock()
		v := s.view(st)
		st.mu.RUnlock()
		out.StreamNames = append(out.StreamNames, name)
		out.StreamSummaries = append(out.StreamSummaries, summary{v.StreamName, v.StreamARN, v.StreamStatus, v.StreamModeDetails, v.StreamCreationTimestamp})
	}
	return out, nil
}
