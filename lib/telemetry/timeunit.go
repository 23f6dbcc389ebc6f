package telemetry

// Epochs of other clocks, in their ticks of 100 ns before 1970.
const (
	fileTimeEpoch = 116_444_736_000_000_000 // Windows FILETIME: since 1601 (MS-DTYP, 2.3.3)
	dotNetEpoch   = 621_355_968_000_000_000 // .NET DateTime.Ticks: since the year 1
)

// GuessUnit returns in which unit n would be a time from earliest to latest, and that
// time; unit is empty if n is none in any unit but microseconds. It explains a time that
// is out of range: nobody means the year 1970 or 58,000.
func GuessUnit(n int64, earliest, latest Micros) (unit string, at Micros) {
	const maxMicros = 1 << 62
	for _, u := range []struct {
		name  string
		at    int64
		valid bool
	}{
		{"seconds", n * 1_000_000, -maxMicros/1_000_000 < n && n < maxMicros/1_000_000},
		{"milliseconds", n * 1_000, -maxMicros/1_000 < n && n < maxMicros/1_000},
		{"nanoseconds", n / 1_000, true},
		{"a Windows file time (100 ns since 1601)", (n - fileTimeEpoch) / 10, n > 0},
		{".NET ticks (100 ns since the year 1)", (n - dotNetEpoch) / 10, n > 0},
	} {
		if at := Micros(u.at); u.valid && earliest <= at && at <= latest {
			return u.name, at
		}
	}
	return "", 0
}
