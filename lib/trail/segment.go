package trail

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Segment is a part of the trail in the archive: the entries First to Last, of which the last has
// the hash.
type Segment struct {
	First, Last int64
	Hash        Hash
}

// SegmentsPrefix is the key prefix of the archive's objects.
const SegmentsPrefix = "audit-trail/"

// ReceiptsPrefix is the key prefix of receipts: objects without content that name the segments which the
// archive has. Only the self-check writes them.
const ReceiptsPrefix = "trail-archived/"

// Receipt returns the key of the segment's receipt.
func (s Segment) Receipt() string { return ReceiptsPrefix + s.Key() }

// ParseReceipt is the inverse of Receipt. The error wraps telemetry.ErrInvalid.
func ParseReceipt(key string) (Segment, error) {
	return ParseSegmentKey(strings.TrimPrefix(key, ReceiptsPrefix))
}

// ReceiptsFrom returns a text that sorts before the receipts of segments which begin at entry seq or later,
// and after the others.
func ReceiptsFrom(seq int64) string {
	return fmt.Sprintf("%s%s%0*d", ReceiptsPrefix, SegmentsPrefix, seqDigits, seq)
}

const segmentSuffix = ".ndjson.zst"

// Key returns the key of the segment's object, such as
// "audit-trail/0000000000000000001-0000000000000004711-5a0f….ndjson.zst". Keys sort by entries.
func (s Segment) Key() string {
	return fmt.Sprintf("%s%0*d-%0*d-%s%s", SegmentsPrefix, seqDigits, s.First, seqDigits, s.Last, s.Hash, segmentSuffix)
}

// ParseSegmentKey is the inverse of Key. The error wraps telemetry.ErrInvalid.
func ParseSegmentKey(key string) (s Segment, err error) {
	stem, ok1 := strings.CutPrefix(key, SegmentsPrefix)
	stem, ok2 := strings.CutSuffix(stem, segmentSuffix)
	parts := strings.Split(stem, "-")
	if ok1 && ok2 && len(parts) == 3 && len(parts[0]) == seqDigits && len(parts[1]) == seqDigits {
		var err1, err2, err3 error
		s.First, err1 = strconv.ParseInt(parts[0], 10, 64)
		s.Last, err2 = strconv.ParseInt(parts[1], 10, 64)
		s.Hash, err3 = ParseHash(parts[2])
		if err1 == nil && err2 == nil && err3 == nil && s.First >= 1 && s.Last >= s.First {
			return s, nil
		}
	}
	return Segment{}, fmt.Errorf("archived trail %.200q: %w: want %s<first>-<last>-<hash>%s",
		key, telemetry.ErrInvalid, SegmentsPrefix, segmentSuffix)
}
