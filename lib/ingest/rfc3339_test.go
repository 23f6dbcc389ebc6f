package ingest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestCalendar parses each day of years that differ by the rules for leap years, and
// days that do not exist.
func TestCalendar(t *testing.T) {
	t.Parallel()
	var c timeParser
	for _, year := range []int{0, 1, 4, 100, 400, 1600, 1900, 1969, 1970, 1972, 1999, 2000, 2023, 2024, 2026, 2100, 2400, 9996, 9999} {
		for month := range 14 {
			for day := range 33 {
				text := fmt.Sprintf("%04d-%02d-%02dT23:59:59.999999Z", year, month, day)
				at := time.Date(year, time.Month(month), day, 23, 59, 59, 999_999_000, time.UTC)
				exists := at.Month() == time.Month(month) && at.Day() == day
				got, r := c.parse([]byte(text))
				if (r == accepted) != exists || exists && got != telemetry.MicrosOf(at) {
					t.Errorf("%s: got %d, %v; want %d, %v", text, got, r == accepted, at.UnixMicro(), exists)
				}
			}
		}
	}
}

func TestFractionsAndOffsets(t *testing.T) {
	t.Parallel()
	var c timeParser
	for text, want := range map[string]telemetry.Micros{
		"1970-01-01T00:00:00Z":                    0,
		"1969-12-31T23:59:59.999999Z":             -1,
		"1969-12-31T23:59:59.9999999999Z":         -1,
		"1970-01-01T00:00:00.1Z":                  100_000,
		"1970-01-01T00:00:00.0000019Z":            1,
		"1970-01-01T00:00:00.000000000000000001Z": 0,
		"1970-01-01T01:00:00+01:00":               0,
		"1969-12-31T00:01:00-23:59":               0,
		"1970-01-01T00:00:00-00:00":               0,
	} {
		if got, r := c.parse([]byte(text)); r != accepted || got != want {
			t.Errorf("%s: got %d, reason %d; want %d", text, got, r, want)
		}
	}
}

// TestZeroBytesAreNotATime: the zero value of the remembered minute matches no input.
func TestZeroBytesAreNotATime(t *testing.T) {
	t.Parallel()
	var c timeParser
	if got, r := c.parse([]byte(strings.Repeat("\x00", minuteBytes) + ":33Z")); r != badTime {
		t.Errorf("got %d, reason %d", got, r)
	}
}

func BenchmarkTime(b *testing.B) {
	var c timeParser
	texts := [2][]byte{[]byte("2026-11-23T09:08:33.123456Z"), []byte("2026-11-23T09:09:33.123456Z")}
	for name, pick := range map[string]int{"SameMinute": 0, "OtherMinute": 1} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, r := c.parse(texts[i&pick]); r != accepted {
					b.Fatal(r)
				}
			}
		})
	}
}
