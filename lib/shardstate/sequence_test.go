package shardstate_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func sequenceOf(s *string) shardstate.Sequence { return shardstate.Sequence(*s) }

func TestFresh(t *testing.T) {
	for _, tc := range []struct{ watermark, records, want string }{
		{"", "", ""},
		{"", "0", "0"},
		{"9", "8 9 10 11", "10 11"},
		{"9", "8 9", ""},
		{"9", "99 100 101", "99 100 101"},
		{"9", "10 10 11", "10 11"},
		{"9", "10 11 12 10 11 12 13", "10 11 12 13"},
		{"9", "8 10 9 11 12 11 7 13 13 14", "10 11 12 13 14"},
		{"9", "10 12 11", "error"},
		{"9", "10 12 12 11", "error"},
		{"9", "10 x", "error"},
		{"9", "010", "error"},
	} {
		records := strings.Fields(tc.records)
		before := slices.Clone(records)
		got, err := shardstate.Fresh(shardstate.Sequence(tc.watermark), records, sequenceOf)
		switch {
		case tc.want == "error":
			if !errors.Is(err, telemetry.ErrInvalid) {
				t.Errorf("%q above %q: got %q, %v; want telemetry.ErrInvalid", tc.records, tc.watermark, got, err)
			}
		case err != nil || strings.Join(got, " ") != tc.want:
			t.Errorf("%q above %q: got %q, %v; want %q", tc.records, tc.watermark, got, err, tc.want)
		}
		if diff := cmp.Diff(before, records); diff != "" {
			t.Errorf("%q: records were changed (-want +got):\n%s", tc.records, diff)
		}
	}
}

// TestFreshOfAnyDelivery repeats parts of a run at random: each record above the
// watermark must be returned once, in order.
func TestFreshOfAnyDelivery(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 30).Draw(t, "records")
		watermark := rapid.IntRange(0, n).Draw(t, "watermark")
		var records, want []string
		for at := 0; at < n; {
			from := rapid.IntRange(0, at).Draw(t, "from")
			to := rapid.IntRange(from, n).Draw(t, "to")
			for i := from; i < to; i++ {
				records = append(records, strconv.Itoa(i+1))
			}
			at = max(at, to)
		}
		for i := watermark; i < n; i++ {
			want = append(want, strconv.Itoa(i+1))
		}
		w := shardstate.Sequence("")
		if watermark > 0 {
			w = shardstate.Sequence(strconv.Itoa(watermark))
		}
		got, err := shardstate.Fresh(w, records, sequenceOf)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q above %q: got %q, %v; want %q", records, w, got, err, want)
		}
	})
}

func BenchmarkFresh(b *testing.B) {
	records := make([]string, 100)
	for i := range records {
		records[i] = "495903382714902566085596925383615710959215759891365" + strconv.Itoa(10000+i)
	}
	b.ReportAllocs()
	for b.Loop() {
		if got, err := shardstate.Fresh(shardstate.Sequence(records[9]), records, sequenceOf); err != nil || len(got) != 90 {
			b.Fatal(len(got), err)
		}
	}
}
