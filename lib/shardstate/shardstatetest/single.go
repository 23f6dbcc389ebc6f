package shardstatetest

import (
	"bytes"
	"context"
	"strconv"

	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Single implements shardstate.Objects for benchmarks: one object, whatever the key,
// that costs only a copy. It accepts every put.
type Single struct {
	body []byte
	puts int
}

var _ shardstate.Objects = (*Single)(nil)

// Size returns the size of the object in bytes.
func (s *Single) Size() int { return len(s.body) }

func (s *Single) tag() string { return strconv.Itoa(s.puts) }

// GetTagged implements shardstate.Objects.
func (s *Single) GetTagged(_ context.Context, _, known string) (body []byte, etag string, err error) {
	if s.puts == 0 {
		return nil, "", telemetry.ErrNotFound
	}
	if known == s.tag() {
		return nil, known, nil
	}
	return bytes.Clone(s.body), s.tag(), nil
}

// PutIf implements shardstate.Objects.
func (s *Single) PutIf(_ context.Context, _ string, body []byte, _ string) (string, error) {
	s.puts++
	s.body = append(s.body[:0], body...)
	return s.tag(), nil
}
