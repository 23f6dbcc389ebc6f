package shardstate

import (
	"bytes"
	"crypto/md5" //nolint:gosec // the hash by which Kinesis assigns keys to shards
	"fmt"
	"math/big"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Shard describes a shard of the stream.
type Shard struct {
	ID ShardID
	// Parents: none, one after a split, two after a merge.
	Parents []ShardID
	Hashes  HashRange
}

// HashRange is a shard's range of hash keys, both ends included. The zero value
// contains only the key 0; see WholeRange.
type HashRange struct{ first, last [md5.Size]byte }

// WholeRange returns the range of the only shard of a stream.
func WholeRange() HashRange {
	var r HashRange
	for i := range r.last {
		r.last[i] = 0xff
	}
	return r
}

// ParseHashRange parses the ends of a range in decimal, as ListShards returns
// them. Errors wrap telemetry.ErrInvalid.
func ParseHashRange(first, last string) (HashRange, error) {
	var r HashRange
	for _, end := range []struct {
		text string
		into *[md5.Size]byte
	}{{first, &r.first}, {last, &r.last}} {
		n, ok := new(big.Int).SetString(end.text, 10)
		if !ok || len(end.text) > 39 || n.Sign() < 0 || n.BitLen() > 8*md5.Size {
			return HashRange{}, fmt.Errorf("hash key %.50q: want a number of 128 bits: %w", end.text, telemetry.ErrInvalid)
		}
		n.FillBytes(end.into[:])
	}
	if bytes.Compare(r.first[:], r.last[:]) > 0 {
		return HashRange{}, fmt.Errorf("hash range %s to %s: ends before it begins: %w", first, last, telemetry.ErrInvalid)
	}
	return r, nil
}

// Contains reports whether the records of a partition key belong to the shard:
// the key's MD5, as a number, is in the range. It does not hold for records
// whose producer chose an explicit hash key.
func (r HashRange) Contains(partitionKey string) bool {
	sum := md5.Sum([]byte(partitionKey)) //nolint:gosec // see the import
	return bytes.Compare(sum[:], r.first[:]) >= 0 && bytes.Compare(sum[:], r.last[:]) <= 0
}
