package kinesis

import (
	"encoding/base64"
	"encoding/json"
	"time"
)

// tokenLifetime is from the API reference of ListShards.
const tokenLifetime = 300 * time.Second

// shardsToken is the NextToken of ListShards.
type shardsToken struct {
	Stream string
	After  string
	Made   int64 // ms
	Filter *shardFilter
}

type shardFilter struct {
	Type      string
	ShardId   string   `json:",omitempty"` //nolint:revive // the API's spelling
	Timestamp *float64 `json:",omitempty"`
}

func (s *Server) listShards(body []byte) (any, error) {
	var in struct {
		streamRef
		NextToken             string
		ExclusiveStartShardId string //nolint:revive // the API's spelling
		MaxResults            *int
		ShardFilter           *shardFilter
	}
	if err := unmarshal(body, &in); err != nil {
		return nil, err
	}
	limit := 1000
	if in.MaxResults != nil {
		limit = min(limit, *in.MaxResults)
	}
	if limit < 1 {
		return nil, invalid(limit, "maxResults", "Member must have value greater than or equal to 1")
	}
	now := s.cfg.Now()
	if in.NextToken != "" {
		if in.StreamName != "" || in.ExclusiveStartShardId != "" {
			return nil, errorf(InvalidArgument, "NextToken and StreamName cannot be provided together.")
		}
		t, err := parseShardsToken(in.NextToken, now)
		if err != nil {
			return nil, err
		}
		in.streamRef, in.ExclusiveStartShardId, in.ShardFilter = streamRef{StreamName: t.Stream}, t.After, t.Filter
	}
	st, err := s.lookup(in.streamRef)
	if err != nil {
		return nil, err
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	matches, err := in.ShardFilter.matcher(st.horizon(now))
	if err != nil {
		return nil, err
	}
	out := struct {
		NextToken string `json:",omitempty"`
		Shards    []shardView
	}{Shards: []shardView{}}
	for _, sh := range st.listed(now) {
		if shardName(sh.number) <= in.ExclusiveStartShardId || !matches(sh) {
			continue
		}
		if len(out.Shards) == limit {
			out.NextToken = shardsToken{st.name, out.Shards[limit-1].ShardId, now.UnixMilli(), in.ShardFilter}.String()
			break
		}
		out.Shards = append(out.Shards, sh.view())
	}
	return out, nil
}

// String returns the token in the API's form.
func (t shardsToken) String() string {
	b, _ := json.Marshal(t) //nolint:errchkjson // strings and numbers
	return base64.StdEncoding.EncodeToString(b)
}

func parseShardsToken(token string, now time.Time) (shardsToken, error) {
	var t shardsToken
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil || json.Unmarshal(b, &t) != nil || !validStreamName(t.Stream) {
		return t, errorf(InvalidArgument, "NextToken is invalid.")
	}
	if now.Sub(time.UnixMilli(t.Made)) > tokenLifetime {
		return t, errorf(ExpiredNextToken, "NextToken is older than %d seconds.", int(tokenLifetime.Seconds()))
	}
	return t, nil
}

// matcher returns a function that reports whether a shard matches the filter.
func (f *shardFilter) matcher(horizon time.Time) (func(*shard) bool, error) {
	if f == nil {
		return func(*shard) bool { return true }, nil
	}
	at := horizon
	if f.Type == "AT_TIMESTAMP" || f.Type == "FROM_TIMESTAMP" {
		if f.Timestamp == nil {
			return nil, errorf(InvalidArgument, "ShardFilter of type %s requires a Timestamp.", f.Type)
		}
		if t := time.UnixMilli(int64(*f.Timestamp*1000 + 0.5)); t.After(horizon) {
			at = t
		}
	}
	from := func(sh *shard) bool { return !sh.closed || !sh.closedAt.Before(at) }
	switch f.Type {
	case "AFTER_SHARD_ID":
		if f.ShardId == "" {
			return nil, errorf(InvalidArgument, "ShardFilter of type AFTER_SHARD_ID requires a ShardId.")
		}
		return func(sh *shard) bool { return shardName(sh.number) > f.ShardId }, nil
	case "AT_LATEST":
		return func(sh *shard) bool { return !sh.closed }, nil
	case "FROM_TRIM_HORIZON", "FROM_TIMESTAMP":
		return from, nil
	case "AT_TRIM_HORIZON", "AT_TIMESTAMP":
		// If the stream is younger than the horizon, its first shards are those at the horizon.
		return func(sh *shard) bool {
			return from(sh) && (!sh.since.After(at) || f.Type == "AT_TRIM_HORIZON" && len(sh.parents) == 0)
		}, nil
	default:
		return nil, invalid(f.Type, "shardFilter.type",
			"Member must satisfy enum value set: "+
				"[AFTER_SHARD_ID, AT_TRIM_HORIZON, FROM_TRIM_HORIZON, AT_LATEST, AT_TIMESTAMP, FROM_TIMESTAMP]")
	}
}
