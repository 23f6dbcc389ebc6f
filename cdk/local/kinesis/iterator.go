package kinesis

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"time"
)

// iteratorLifetime is from the API reference of GetShardIterator.
const iteratorLifetime = 5 * time.Minute

// iterator is a position in a shard. Its token is opaque to clients: the base64 of a
// version byte, made (ms), the creation of the stream (ns), shard, next, the name of the
// stream, and the CRC-32 of all that.
type iterator struct {
	made    time.Time
	created time.Time // of the stream: a token is not valid for another one of the same name
	shard   uint32
	next    uint64 // index of the next record
	stream  string
}

const (
	iteratorVersion = 1
	iteratorFixed   = 1 + 8 + 8 + 4 + 8
)

func (it iterator) token() string {
	b := make([]byte, 0, iteratorFixed+len(it.stream)+4)
	b = append(b, iteratorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(it.made.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(it.created.UnixNano()))
	b = binary.BigEndian.AppendUint32(b, it.shard)
	b = binary.BigEndian.AppendUint64(b, it.next)
	b = append(b, it.stream...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.StdEncoding.EncodeToString(b)
}

func parseIterator(token string) (iterator, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < iteratorFixed+4 || b[0] != iteratorVersion {
		return iterator{}, false
	}
	n := len(b) - 4
	if crc32.ChecksumIEEE(b[:n]) != binary.BigEndian.Uint32(b[n:]) {
		return iterator{}, false
	}
	return iterator{
		made:    time.UnixMilli(int64(binary.BigEndian.Uint64(b[1:]))),
		created: time.Unix(0, int64(binary.BigEndian.Uint64(b[9:]))),
		shard:   binary.BigEndian.Uint32(b[17:]),
		next:    binary.BigEndian.Uint64(b[21:]),
		stream:  string(b[iteratorFixed:n]),
	}, true
}

const iteratorTypes = "[AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]"

func (s *Server) getShardIterator(body []byte) (any, error) {
	var in struct {
		streamRef
		ShardId                string //nolint:revive // the API's spelling
		ShardIteratorType      string
		StartingSequenceNumber string
		Timestamp              *float64
	}
	if err := unmarshal(body, &in); err != nil {
		return nil, err
	}
	name, err := in.name()
	if err != nil {
		return nil, err
	}
	if in.ShardId == "" {
		return nil, invalid("null", "shardId", "Member must not be null")
	}
	st, sh, err := s.findShard(name, in.ShardId)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	it := iterator{made: now, created: st.created, shard: sh.number, stream: st.name}
	switch in.ShardIteratorType {
	case "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER":
		if in.StartingSequenceNumber == "" {
			return nil, errorf(InvalidArgument, "Must either specify StartingSequenceNumber or use another ShardIteratorType than %s",
				in.ShardIteratorType)
		}
		index, err := s.indexOf(st, sh, in.StartingSequenceNumber)
		if err != nil {
			return nil, err
		}
		it.next = index
		if in.ShardIteratorType == "AFTER_SEQUENCE_NUMBER" {
			it.next++
		}
	case "TRIM_HORIZON":
	case "LATEST":
		sh.mu.Lock()
		it.next = sh.next
		sh.mu.Unlock()
	case "AT_TIMESTAMP":
		if in.Timestamp == nil {
			return nil, errorf(InvalidArgument, "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. "+
				"Current request has no timestamp parameter.")
		}
		at := time.UnixMilli(int64(*in.Timestamp*1000 + 0.5))
		if at.After(now) {
			return nil, errorf(InvalidArgument, "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "+
				"timestampInMillis: %d, currentTimestampInMillis: %d", at.UnixMilli(), now.UnixMilli())
		}
		sh.mu.Lock()
		it.next = sh.at(at)
		sh.mu.Unlock()
	case "":
		return nil, invalid("null", "shardIteratorType", "Member must not be null")
	default:
		return nil, invalid(in.ShardIteratorType, "shardIteratorType", "Member must satisfy enum value set: "+iteratorTypes)
	}
	return map[string]string{"ShardIterator": it.token()}, nil
}
