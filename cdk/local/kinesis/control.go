package kinesis

import "time"

// actions returns the operations whose requests and responses are small.
func (s *Server) actions() map[string]action {
	return map[string]action{
		"CreateStream":                  s.createStream,
		"DeleteStream":                  s.deleteStream,
		"DescribeStream":                s.describeStream,
		"DescribeStreamSummary":         s.describeStreamSummary,
		"ListStreams":                   s.listStreams,
		"ListShards":                    s.listShards,
		"GetShardIterator":              s.getShardIterator,
		"SplitShard":                    s.splitShard,
		"MergeShards":                   s.mergeShards,
		"UpdateShardCount":              s.updateShardCount,
		"UpdateMaxRecordSize":           s.updateMaxRecordSize,
		"IncreaseStreamRetentionPeriod": func(b []byte) (any, error) { return s.changeRetention(b, true) },
		"DecreaseStreamRetentionPeriod": func(b []byte) (any, error) { return s.changeRetention(b, false) },
	}
}

func (s *Server) createStream(body []byte) (any, error) {
	var in struct {
		StreamName         string
		ShardCount         *int
		StreamModeDetails  modeView
		MaxRecordSizeInKiB int
	}
	if err := unmarshal(body, &in); err != nil {
		return nil, err
	}
	o := StreamOptions{Mode: in.StreamModeDetails.StreamMode, MaxRecordKiB: in.MaxRecordSizeInKiB}
	if o.Mode == OnDemand {
		if in.ShardCount != nil {
			return nil, errorf(Validation, "ShardCount must not be set for a stream of mode ON_DEMAND.")
		}
	} else {
		if in.ShardCount == nil {
			return nil, invalid("null", "shardCount", "Member must not be null")
		}
		o.Shards = *in.ShardCount
	}
	return nil, s.Create(in.StreamName, o)
}

func (s *Server) deleteStream(body []byte) (any, error) {
	var in streamRef
	if err := unmarshal(body, &in); err != nil {
		return nil, err
	}
	name, err := in.name()
	if err != nil {
		return nil, err
	}
	return nil, s.DeleteStream(name)
}

// change runs f on an ACTIVE stream, which is then UPDATING for Config.Transition.
func (s *Server) change(ref streamRef, f func(st *stream, now time.Time) error) error {
	st, err := s.lookup(ref)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	s.mu.Lock() // the shard limit counts the shards of all streams
	defer s.mu.Unlock()
	st.mu.Lock()
	defer st.mu.Unlock()
	switch v := st.status(now); v {
	case active:
	case deleting:
		return s.notFound(st.name)
	default:
		return errorf(ResourceInUse, "Stream %s under account %s not ACTIVE, instead in state %s", st.name, s.cfg.Account, v)
	}
	if err := f(st, now); err != nil {
		return err
	}
	st.busy, st.readyAt = updating, now.Add(s.cfg.Transition)
	return nil
}

// provisioned returns an error for an on-demand stream.
func (st *stream) provisioned() error {
	if st.mode == OnDemand {
		return errorf(Validation, "This API is only supported for data streams with the provisioned capacity mode.")
	}
	return nil
}

// openShard returns an open shard, which can be split or merged. Hold mu.
func (s *Server) openShard(st *stream, id string, now time.Time) (*shard, error) {
	sh := st.shard(id, now)
	if sh == nil {
		return nil, errorf(ResourceNotFound, "Could not find shard %.64s in stream %s under account %s.",
			id, st.name, s.cfg.Account)
	}
	if sh.closed {
		return nil, errorf(InvalidArgument, "Shard %s in stream %s under account %s is already closed.",
			id, st.name, s.cfg.Account)
	}
	return sh, nil
}

// checkShardLimit returns an error if the account may not have more additional open shards.
// Hold st.mu.
func (s *Server) checkShardLimit(st *stream, more int) error {
	n := len(st.open) + s.openShards(st)
	if more > 0 && n+more > s.cfg.ShardLimit {
		return errorf(LimitExceeded, "This request would exceed the shard limit for the account %s in %s. "+
			"Current shard count for the account: %d. Limit: %d.",
			s.cfg.Account, s.cfg.Region, n, s.cfg.ShardLimit)
	}
	return nil
}

func (s *Server) splitShard(body []byte) (any, error) {
	var in struct {
		streamRef
		ShardToSplit       string
		NewStartingHashKey string
	}
	if err := unmarshal(body, &in); err != nil {
		return nil, err
	}
	key, ok := parseHashKey(in.NewStartingHashKey)
	if !ok {
		return nil, invalid(in.NewStartingHashKey, "newStartingHashKey",
			`Member must satisfy regular expression pattern: 0|([1-9]\d{0,38})`)
	}
	return nil, s.change(in.streamRef, func(st *stream, now time.Time) error {
		if err := st.provisioned(); err != nil {
			return err
		}
		sh, err := s.openShard(st, in.ShardToSplit, now)
		if err != nil {
			return err
		}
		if h := sh.hashes; h.first == h.last || !h.first.next().less(key) || !key.less(h.last) {
			return errorf(InvalidArgument, "NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s "+
				"is not both greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
				key, in.ShardToSplit, st.name, s.cfg.Account, sh.hashes.first, sh.hashes.last)
		}
		if err := s.checkShardLimit(st, 1); err != nil {
			return err
		}
		st.split(sh, key, now)
		return nil
	})
}

func (s *Server) mergeShards(body []byte) (any, error) {
	var in struct {
		streamRef
		ShardToMerge         string
		AdjacentShardToMerge string
	}
	if err := unmarshal(body, &in); err != nil {
		return nil, err
	}
	return nil, s.change(in.streamRef, func(st *stream, now time.Time) error {
		if err := st.provisioned(); err != nil {
			return err
		}
		a, err := s.openShard(st, in.ShardToMerge, now)
		if err != nil {
			return err
		}
		b, err := s.openShard(st, in.AdjacentShardToMerge, now)
		if err != nil {
			return err
		}
		if !st.adjacent(a, b) {
			return errorf(InvalidArgument, "Shards %s and %s in stream %s under account %s "+
				"are not an adjacent pair of shards eligible for merging",
				in.ShardToMerge, in.AdjacentShardToMerge, st.name, s.cfg.Account)
		}
		st.merge(a, b, now)
		return nil
	})
}

const (
	scalingsPerDay = 10
	scalingWindow  = 24 * time.Hour
)

func (s *Server) updateShardCount(body []byte) (any, error) {
	var in struct {
		streamRef
		TargetShardCount int
		ScalingType      string
	}
	if err := unmarshal(body, &in); err != nil {
		return nil, err
	}
	if in.ScalingType != "UNIFORM_SCALING" {
		return nil, invalid(in.ScalingType, "scalingType", "Member must satisfy enum value set: [UNIFORM_SCALING]")
	}
	n := in.TargetShardCount
	if n < 1 {
		return nil, invalid(n, "targetShardCount", "Member must have value greater than or equal to 1")
	}
	before, name := 0, ""
	err := s.change(in.streamRef, func(st *stream, now time.Time) error {
		if err := st.provisioned(); err != nil {
			return err
		}
		before, name = len(st.open), st.name
		recent := st.scalings[:0]
		for _, t := range st.scalings {
			if now.Sub(t) < scalingWindow {
				recent = append(recent, t)
			}
		}
		st.scalings = recent
		switch {
		case n == before:
			return errorf(InvalidArgument, "Target shard count is equal to the current shard count %d.", before)
		case n > 2*before:
			return errorf(LimitExceeded, "UpdateShardCount cannot scale up over double your current open shard count. "+
				"Current open shard count: %d Target shard count: %d", before, n)
		case 2*n < before:
			return errorf(LimitExceeded, "UpdateShardCount cannot scale down below half your current open shard count. "+
				"Current open shard count: %d Target shard count: %d", before, n)
		case len(recent) >= scalingsPerDay:
			return errorf(LimitExceeded, "UpdateShardCount cannot be called more than %d times per rolling 24 hours.", scalingsPerDay)
		}
		if err := s.checkShardLimit(st, n-before); err != nil {
			return err
		}
		st.scalings = append(st.scalings, now)
		st.rescale(n, now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"StreamName": name, "StreamARN": s.arn(name), "CurrentShardCount": before, "TargetShardCount": n}, nil
}

func (s *Server) updateMaxRecordSize(body []byte) (any, error) {
	var in struct {
		streamRef
		MaxRecordSizeInKiB int
	}
	if err := unmarshal(body, &in); err != nil {
		return nil, err
	}
	if in.MaxRecordSizeInKiB < minRecordKiB || in.MaxRecordSizeInKiB > maxRecordKiB {
		return nil, invalid(in.MaxRecordSizeInKiB, "maxRecordSizeInKiB", "Member must have value between 1024 and 10240")
	}
	return nil, s.change(in.streamRef, func(st *stream, _ time.Time) error {
		st.maxRecordBytes = in.MaxRecordSizeInKiB << 10
		return nil
	})
}

func (s *Server) changeRetention(body []byte, up bool) (any, error) {
	var in struct {
		streamRef
		RetentionPeriodHours int
	}
	if err := unmarshal(body, &in); err != nil {
		return nil, err
	}
	hours := in.RetentionPeriodHours
	if hours < defaultRetention || hours > maxRetention {
		return nil, errorf(InvalidArgument, "The retention period must be between %d and %d hours. "+
			"Requested retention period (%d hours) is not.",
			defaultRetention, maxRetention, hours)
	}
	return nil, s.change(in.streamRef, func(st *stream, now time.Time) error {
		if up && hours < st.retentionHours || !up && hours > st.retentionHours {
			return errorf(InvalidArgument, "Requested retention period (%d hours) for stream %s "+
				"is on the wrong side of the current one (%d hours).",
				hours, st.name, st.retentionHours)
		}
		for _, sh := range st.shards {
			sh.mu.Lock()
			sh.floor = sh.trimmed(st.horizon(now))
			sh.mu.Unlock()
		}
		st.retentionHours = hours
		return nil
	})
}
