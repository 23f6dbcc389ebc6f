package judge

import (
	"fmt"
	"io"
	"slices"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// alarmsIn returns the flags of the released detector.
func alarmsIn(s Series) []uint8 {
	var d anomaly.Detector
	flags := make([]uint8, len(s.Values))
	d.PushBlock(s.Micros, s.Values, make([]float64, len(flags)), flags)
	return flags
}

// falseAlarms counts the alarms in series without faults, by phase.
type falseAlarms struct{ learning, later, most int }

// outcome is the result for a fault in the series of all seeds.
type outcome struct {
	found  int
	delays []int
}

// judgeNoise scores the series of all seeds of a kind, unchanged and with each fault.
func judgeNoise(n noise) (alarms falseAlarms, outcomes []outcome) {
	outcomes = make([]outcome, len(faults()))
	for seed := range uint64(syntheticSeeds) {
		s := generate(n, seed)
		clean := alarmsIn(s)
		all := 0
		for i, flag := range clean {
			all += int(flag)
			if i < syntheticLearned {
				alarms.learning += int(flag)
			} else {
				alarms.later += int(flag)
			}
		}
		alarms.most = max(alarms.most, all)
		for k, f := range faults() {
			const first, apart = 8_000, 1_000
			from := first + apart*int(seed)
			flags := alarmsIn(harm(s, f, from, n.deviation))
			for i := from; i < from+f.within; i++ {
				if flags[i] > clean[i] { // alarms of the noise itself are not detections
					outcomes[k].found++
					outcomes[k].delays = append(outcomes[k].delays, i-from)
					break
				}
			}
		}
	}
	return alarms, outcomes
}

// ReportSynthetic prints the false alarms of the released detector on generated noise at
// the fixed threshold, and which added faults it detects with which delay, as Markdown.
func ReportSynthetic(out io.Writer) error {
	w := &printer{out: out}
	w.print("%d series of each kind, %d samples each, a minute apart; threshold %v.\n\n",
		syntheticSeeds, syntheticSamples, anomaly.Threshold)
	w.print("| noise without faults | false alarms per 10,000 samples | of the first %d | after them | most in one series |\n",
		syntheticLearned)
	w.print("| --- | ---: | ---: | ---: | ---: |\n")
	rows := make([][]outcome, len(noises()))
	const per = 10_000.0
	for i, n := range noises() {
		var alarms falseAlarms
		alarms, rows[i] = judgeNoise(n)
		w.print("| %s | %.1f | %.1f | %.1f | %d |\n", n.name,
			per*float64(alarms.learning+alarms.later)/(syntheticSeeds*syntheticSamples),
			per*float64(alarms.learning)/(syntheticSeeds*syntheticLearned),
			per*float64(alarms.later)/(syntheticSeeds*(syntheticSamples-syntheticLearned)), alarms.most)
	}
	w.print("\nDetected of %d, and the median delay in samples:\n\n| in |", syntheticSeeds)
	for _, f := range faults() {
		w.print(" %s |", f.name)
	}
	w.print("\n| --- |")
	for range faults() {
		w.print(" ---: |")
	}
	for i, n := range noises() {
		w.print("\n| %s |", n.name)
		for _, o := range rows[i] {
			w.print(" %d", o.found)
			if slices.Sort(o.delays); o.found > 0 && o.delays[len(o.delays)-1] > 0 {
				w.print(", %d", o.delays[o.found/2])
			}
			w.print(" |")
		}
	}
	w.print("\n| all |")
	for k := range faults() {
		sum := 0
		for _, row := range rows {
			sum += row[k].found
		}
		w.print(" %.0f %% |", 100*float64(sum)/float64(len(rows)*syntheticSeeds))
	}
	w.print("\n")
	return w.err
}

// printer remembers the first error.
type printer struct {
	out io.Writer
	err error
}

func (p *printer) print(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format, args...)
	}
}
