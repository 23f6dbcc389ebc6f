package kinesis

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
)

const (
	maxGetRecords = 10_000
	maxGetBytes   = 10 << 20
)

// page is the result of one GetRecords request.
type page struct {
	records  []Record
	next     iterator
	ended    bool
	children []*shard
	behind   time.Duration
}

func (a *api) getRecords(body, out []byte) ([]byte, error) {
	var in struct {
		ShardIterator *string
		Limit         *int
		StreamARN     string
	}
	if err := unmarshal(body, &in); err != nil {
		return nil, err
	}
	limit := maxGetRecords
	if in.Limit != nil {
		limit = *in.Limit
	}
	switch {
	case in.ShardIterator == nil:
		return nil, invalid("null", "shardIterator", "Member must not be null")
	case limit < 1:
		return nil, invalid(limit, "limit", "Member must have value greater than or equal to 1")
	case limit > maxGetRecords:
		return nil, errorf(InvalidArgument, "The limit %d is greater than %d", limit, maxGetRecords)
	}
	it, ok := parseIterator(*in.ShardIterator)
	if !ok {
		return nil, errorf(InvalidArgument, "Invalid ShardIterator.")
	}
	p, err := a.server.page(it, limit)
	if err != nil {
		return nil, err
	}
	return appendPage(out, p), nil
}

// page reads the records at an iterator.
func (s *Server) page(it iterator, limit int) (page, error) {
	now := s.cfg.Now()
	if age := now.Sub(it.made); age > iteratorLifetime {
		return page{}, errorf(ExpiredIterator, "Iterator expired. The iterator was created at time %s while right now it is %s "+
			"which is further in the future than the tolerated delay of %d milliseconds.",
			it.made.UTC().Format(time.UnixDate), now.UTC().Format(time.UnixDate), iteratorLifetime.Milliseconds())
	}
	st, err := s.find(it.stream)
	if err != nil {
		return page{}, err
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	if err := s.usable(st, now); err != nil {
		return page{}, err
	}
	if int(it.shard) >= len(st.shards) || st.created.UnixNano() != it.created.UnixNano() {
		return page{}, s.noShard(it.stream, shardName(it.shard))
	}
	sh := st.shards[it.shard]
	horizon := st.horizon(now)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.readCalls.refill(now)
	sh.readBytes.refill(now)
	if !sh.readCalls.has(1) || sh.readBytes.perSecond > 0 && sh.readBytes.tokens <= 0 {
		return page{}, errorf(ThroughputExceeded, "Rate exceeded for shard %s in stream %s under account %s.",
			shardName(sh.number), st.name, s.cfg.Account)
	}
	sh.readCalls.take(1)
	s.memory.Add(-sh.drop(0, horizon))
	p := page{next: it}
	p.next.made = now
	p.records, p.next.next = sh.from(it.next, horizon, limit, maxGetBytes)
	for i := range p.records {
		sh.readBytes.take(len(p.records[i].Data) + len(p.records[i].PartitionKey))
	}
	if p.ended = sh.closed && p.next.next >= sh.next; p.ended {
		p.children = sh.children
	} else if rest, _ := sh.from(p.next.next, horizon, 1, maxGetBytes); len(rest) > 0 {
		p.behind = max(0, now.Sub(rest[0].Arrival))
	}
	return p, nil
}

func appendPage(out []byte, p page) []byte {
	out = append(out, `{"MillisBehindLatest":`...)
	out = strconv.AppendInt(out, p.behind.Milliseconds(), 10)
	if p.ended {
		out = append(out, `,"ChildShards":[`...)
		for i, c := range p.children {
			if i > 0 {
				out = append(out, ',')
			}
			parents := make([]string, 0, len(c.parents))
			for _, n := range c.parents {
				parents = append(parents, shardName(n))
			}
			child, _ := json.Marshal(map[string]any{ //nolint:errchkjson // strings
				"ShardId": shardName(c.number), "ParentShards": parents, "HashKeyRange": c.hashes.view(),
			})
			out = append(out, child...)
		}
		out = append(out, ']')
	} else {
		out = append(out, `,"NextShardIterator":"`...)
		out = append(append(out, p.next.token()...), '"')
	}
	out = append(out, `,"Records":[`...)
	for i := range p.records {
		if i > 0 {
			out = append(out, ',')
		}
		r := &p.records[i]
		out = append(out, `{"ApproximateArrivalTimestamp":`...)
		out = append(out, seconds(r.Arrival)...)
		out = append(out, `,"Data":"`...)
		out = base64.StdEncoding.AppendEncode(out, r.Data)
		out = append(out, `","PartitionKey":`...)
		key, _ := json.Marshal(r.PartitionKey) //nolint:errchkjson // a string
		out = append(out, key...)
		out = append(out, `,"SequenceNumber":"`...)
		out = append(append(out, r.SequenceNumber...), `"}`...)
	}
	return append(out, `]}`...)
}
