package ingest

import (
	"encoding/binary"

	"github.com/insighthub/insighthub/lib/jsonscan"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	minuteBytes       = len("2026-11-23T09:08")
	microsPerSecond   = 1_000_000
	secondsPerMinute  = 60
	fractionDigits    = 6
	shortestTimeBytes = len("2026-11-23T09:08:33Z")
)

// timeParser parses RFC 3339 times. The times of a batch are close to each other, so it
// remembers the last minute that it parsed.
type timeParser struct {
	minute  [2]uint64 // the sixteen bytes "2026-11-23T09:08"; 0 before the first
	seconds int64     // since 1970, of that minute in UTC
}

// parse parses a time of RFC 3339, section 5.6, with upper-case T and Z. It ignores
// digits of the fraction after the sixth.
func (c *timeParser) parse(s []byte) (telemetry.Micros, reason) {
	if len(s) < shortestTimeBytes {
		return 0, badTime
	}
	minute := [2]uint64{binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint64(s[word:])}
	if minute != c.minute || minute[0] == 0 {
		seconds, ok := parseMinute(s)
		if !ok {
			return 0, badTime
		}
		c.minute, c.seconds = minute, seconds
	}
	if s[minuteBytes] != ':' {
		return 0, badTime
	}
	second, ok := twoDigits(s, minuteBytes+1)
	if !ok || second > 60 {
		return 0, badTime
	}
	i := minuteBytes + 3
	var micros int64
	if s[i] == '.' {
		if micros, i = parseFraction(s, i+1); i < 0 {
			return 0, badTime
		}
	}
	offset, ok := parseOffset(s[i:])
	if !ok {
		return 0, badTime
	}
	if second == 60 {
		return 0, leapSecond
	}
	return telemetry.Micros((c.seconds+second-offset)*microsPerSecond + micros), accepted
}

// parseFraction reads one or more digits at s[i] as microseconds and returns
// the index after them, or -1.
func parseFraction(s []byte, i int) (micros int64, next int) {
	start := i
	for i < len(s) && i < start+fractionDigits && jsonscan.IsDigit(s[i]) {
		micros = micros*10 + int64(s[i]-'0')
		i++
	}
	if i == start {
		return 0, -1
	}
	for n := i - start; n < fractionDigits; n++ {
		micros *= 10
	}
	for i < len(s) && jsonscan.IsDigit(s[i]) {
		i++
	}
	return micros, i
}

// parseOffset reads the whole of s as "Z" or "+hh:mm", in seconds.
func parseOffset(s []byte) (seconds int64, ok bool) {
	if len(s) == 1 && s[0] == 'Z' {
		return 0, true
	}
	if len(s) != len("+hh:mm") || s[3] != ':' {
		return 0, false
	}
	hour, okHour := twoDigits(s, 1)
	minute, okMinute := twoDigits(s, 4)
	if !okHour || !okMinute || hour > 23 || minute > 59 {
		return 0, false
	}
	seconds = (hour*60 + minute) * secondsPerMinute
	switch s[0] {
	case '+':
		return seconds, true
	case '-':
		return -seconds, true
	default:
		return 0, false
	}
}

// parseMinute reads "2026-11-23T09:08" as the seconds since 1970.
func parseMinute(s []byte) (seconds int64, ok bool) {
	century, ok1 := twoDigits(s, 0)
	yearOfCentury, ok2 := twoDigits(s, 2)
	month, ok3 := twoDigits(s, 5)
	day, ok4 := twoDigits(s, 8)
	hour, ok5 := twoDigits(s, 11)
	minute, ok6 := twoDigits(s, 14)
	digits := ok1 && ok2 && ok3 && ok4 && ok5 && ok6
	if !digits || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' {
		return 0, false
	}
	year := century*100 + yearOfCentury
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 {
		return 0, false
	}
	return ((daysSinceEpoch(year, month, day)*24+hour)*60 + minute) * secondsPerMinute, true
}

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	default:
		return 31
	}
}

// daysSinceEpoch counts the days from 1970-01-01 in the proleptic Gregorian
// calendar. It counts years from March on, so that a leap day is the last of its year.
func daysSinceEpoch(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	year += 400 // keeps the divisions below away from negative years
	const daysTo1970FromShifted = 719_468 + 146_097
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	return year*365 + year/4 - year/100 + year/400 + dayOfYear - daysTo1970FromShifted
}

func twoDigits(s []byte, i int) (int64, bool) {
	tens, ones := s[i]-'0', s[i+1]-'0'
	return int64(tens)*10 + int64(ones), tens <= 9 && ones <= 9
}
