package judge

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// skabTraining is the number of rows at the start of each file from which SKAB lets a
// detector learn. Its first leader board counts them, its strict one does not.
const skabTraining = 400

// A Flagger flags rows of a file, which has no labels.
type Flagger func(Frames) []bool

// ReleasedMachine flags with [anomaly.Machine]: nothing if the file has more sensors than a
// machine may have.
func ReleasedMachine(f Frames) []bool {
	flags := make([]bool, len(f.Values))
	var m anomaly.Machine
	if m.Reset(len(f.Sensors)) != nil {
		return flags
	}
	for i, values := range f.Values {
		_, flags[i] = m.Push(f.Micros[i], values)
	}
	return flags
}

// combinedHold is how many rows an alarm of one sensor holds in [CombinedDetectors].
const combinedHold = 100

// CombinedDetectors flags with one [anomaly.Detector] per sensor, for comparison: a row is
// flagged when the detector of a sensor raised an alarm within the previous hundred rows,
// since a detector suppresses lesser alarms after each one.
func CombinedDetectors(f Frames) []bool {
	detectors := make([]anomaly.Detector, len(f.Sensors))
	flags := make([]bool, len(f.Values))
	hold := 0
	for i, values := range f.Values {
		for j := range detectors {
			if _, anomalous := detectors[j].Push(f.Micros[i], values[j]); anomalous {
				hold = combinedHold
			}
		}
		flags[i] = hold > 0
		hold = max(hold-1, 0)
	}
	return flags
}

// AlwaysAfterTraining flags every row after those for training. It is the baseline that a
// detector must exceed, since more than half of these rows are labelled.
func AlwaysAfterTraining(f Frames) []bool {
	flags := make([]bool, len(f.Values))
	for i := range flags {
		flags[i] = i >= skabTraining
	}
	return flags
}

// judged is the counts of one file.
type judged struct {
	group         string
	whole, strict Confusion
}

// ReportSKAB judges the detectors on the files in SKAB's format below dir, as SKAB's leader
// boards for outlier detection do: row by row over all labelled files, once over whole
// files and once without the first 400 rows of each (strict). For files without labels it
// prints how many rows were flagged.
func ReportSKAB(dir string, out io.Writer) error {
	if err := reportSKAB(os.DirFS(dir), out); err != nil {
		return fmt.Errorf("judge %s: %w", dir, err)
	}
	return nil
}

func reportSKAB(fsys fs.FS, out io.Writer) error {
	corpus, err := readCorpus(fsys, out)
	if err != nil {
		return err
	}
	if len(corpus) == 0 {
		return errors.New("no file with the columns datetime;sensor;…")
	}
	rows := []struct {
		name string
		flag Flagger
	}{
		{"machine (released)", ReleasedMachine},
		{"detectors, combined", CombinedDetectors},
		{"always after row 400", AlwaysAfterTraining},
	}
	fmt.Fprintf(out, "%-22s %6s %7s %7s %11s %11s %16s\n", "", "F1", "FAR %", "MAR %", "strict F1", "strict FAR", "F1, 5–95 %")
	for _, row := range rows {
		reportFiles(out, row.name, judgeCorpus(corpus, row.flag))
	}
	reportUnlabelled(corpus, out)
	return nil
}

func judgeCorpus(corpus []Frames, flag Flagger) []judged {
	var files []judged
	for i := range corpus {
		f := &corpus[i]
		if f.Labels == nil {
			continue
		}
		flags := flag(f.unlabelled())
		file := judged{group: f.Group()}
		file.whole.Count(f.Labels, flags)
		from := min(skabTraining, len(flags))
		file.strict.Count(f.Labels[from:], flags[from:])
		files = append(files, file)
	}
	return files
}

// reportFiles prints the sum over all files and, if there are several groups, over each.
func reportFiles(out io.Writer, name string, files []judged) {
	if len(files) == 0 {
		return
	}
	reportLine(out, name, files)
	groups := map[string][]judged{}
	for _, file := range files {
		groups[file.group] = append(groups[file.group], file)
	}
	if len(groups) < 2 {
		return
	}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		reportLine(out, fmt.Sprintf("  %s, %d files", group, len(groups[group])), groups[group])
	}
}

func reportLine(out io.Writer, name string, files []judged) {
	var whole, strict Confusion
	for _, file := range files {
		whole.Add(file.whole)
		strict.Add(file.strict)
	}
	low, high := bootstrapF1(files)
	fmt.Fprintf(out, "%-22s %6.3f %7.2f %7.2f %11.3f %11.2f    %6.3f–%.3f\n", name,
		whole.F1(), 100*whole.FalseAlarmRate(), 100*whole.MissingAlarmRate(),
		strict.F1(), 100*strict.FalseAlarmRate(), low, high)
}

// bootstrapF1 resamples the files with replacement and returns the 5th and the 95th
// percentile of F1. The resamples are the same in every run.
func bootstrapF1(files []judged) (low, high float64) {
	const draws = 2000
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the bootstrap must be repeatable
	scores := make([]float64, draws)
	for i := range scores {
		var sum Confusion
		for range files {
			sum.Add(files[random.IntN(len(files))].whole)
		}
		scores[i] = sum.F1()
	}
	slices.Sort(scores)
	return scores[draws/20], scores[draws-draws/20-1]
}

func reportUnlabelled(corpus []Frames, out io.Writer) {
	for i := range corpus {
		f := &corpus[i]
		if f.Labels != nil {
			continue
		}
		flagged, alarms, before := 0, 0, false
		for _, flag := range ReleasedMachine(*f) {
			if flag {
				flagged++
			}
			if flag && !before {
				alarms++
			}
			before = flag
		}
		fmt.Fprintf(out, "without labels: %s: %d rows, %d alarms, %.2f %% of rows flagged\n",
			f.Name, len(f.Values), alarms, 100*part(flagged, len(f.Values)))
	}
}
