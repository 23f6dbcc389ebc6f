package judge

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// The generators make what their names say: within some percent, since the series are
// finite, and the same each time.
func TestNoiseIsWhatItsNameSays(t *testing.T) {
	for _, n := range noises() {
		s := generate(n, 1)
		if again := generate(n, 1); !slices.Equal(s.Values, again.Values) || slices.Equal(s.Values, generate(n, 2).Values) {
			t.Errorf("%s: does not depend on the seed alone", n.name)
		}
		values := s.Values
		switch {
		case strings.HasPrefix(n.name, "random walk"):
			steps := make([]float64, len(values)-1)
			for i := range steps {
				steps[i] = values[i+1] - values[i]
			}
			values = steps
		case strings.HasPrefix(n.name, "a day's sine"):
			for i := range values {
				values[i] -= 10 * math.Sin(2*math.Pi*float64(i)/minutesOfDay)
			}
		}
		if _, deviation := moments(values); math.Abs(deviation/n.deviation-1) > 0.25 {
			t.Errorf("%s: deviation %v, want %v", n.name, deviation, n.deviation)
		}
	}
}

func TestFaultsBeginWhereTheyShould(t *testing.T) {
	s := generate(noises()[0], 1)
	for _, f := range faults() {
		harmed := harm(s, f, 8000, 1)
		if !slices.Equal(harmed.Values[:8000], s.Values[:8000]) {
			t.Errorf("%s: something before it changes", f.name)
		}
		changed := false
		for i := 8000; i < 8000+f.within; i++ {
			changed = changed || harmed.Values[i] != s.Values[i]
		}
		if !changed {
			t.Errorf("%s: nothing changes", f.name)
		}
	}
}

// What happens in every kind of noise beyond doubt has to be found, and noise by itself
// must not cry wolf.
func TestSynthetic(t *testing.T) {
	for _, n := range noises() {
		alarms, outcomes := judgeNoise(n)
		const most, mostLater = 16, 4 // per 10,000 samples
		if per := 10_000 * float64(alarms.learning) / (syntheticSeeds * syntheticLearned); per > most {
			t.Errorf("%s: %.1f false alarms per 10,000 of the first samples", n.name, per)
		}
		if per := 10_000 * float64(alarms.later) / (syntheticSeeds * (syntheticSamples - syntheticLearned)); per > mostLater {
			t.Errorf("%s: %.1f false alarms per 10,000 of the samples after those", n.name, per)
		}
		for k, f := range faults() {
			sure := strings.HasPrefix(n.name, "white") && (f.name == "spike of 12 deviations" || f.name == "shift by 5 deviations")
			if sure && outcomes[k].found < syntheticSeeds {
				t.Errorf("%s, %s: found in %d of %d", n.name, f.name, outcomes[k].found, syntheticSeeds)
			}
		}
	}
	var b bytes.Buffer
	if err := ReportSynthetic(&b); err != nil || strings.Count(b.String(), "\n") != 2*len(noises())+10 {
		t.Errorf("%v\n%s", err, b.String())
	}
	if err := ReportSynthetic(full{}); err == nil {
		t.Error("an error of the output is lost")
	}
}

// full is an output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }
