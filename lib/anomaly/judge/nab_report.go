package judge

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// ReportNAB prints the results of the released detector and the baselines on the benchmark
// in dir, as Markdown.
func ReportNAB(dir string, out io.Writer) error {
	if err := reportNAB(os.DirFS(dir), out); err != nil {
		return fmt.Errorf("judge %s: %w", dir, err)
	}
	return nil
}

func reportNAB(fsys fs.FS, out io.Writer) error {
	files, err := LoadNAB(fsys)
	if err != nil {
		return err
	}
	rows, windows := 0, 0
	for _, f := range files {
		rows += len(f.Values)
		windows += len(f.Windows)
	}
	fmt.Fprintf(out, "NAB: %d files, %d rows, %d windows.\n\n", len(files), rows, windows)
	fmt.Fprintln(out, "| detector | standard | reward_low_FP_rate | reward_low_FN_rate | thresholds |")
	fmt.Fprintln(out, "| --- | ---: | ---: | ---: | --- |")
	for _, scorer := range Scorers() {
		points := judgeFiles(files, scorer)
		var scores, thresholds [3]float64
		for i, profile := range Profiles() {
			best := Best(profile, points)
			scores[i], thresholds[i] = best.Score, best.Threshold
		}
		fmt.Fprintf(out, "| %s | %.2f | %.2f | %.2f | %.4g, %.4g, %.4g |\n", scorer.Name,
			scores[0], scores[1], scores[2], thresholds[0], thresholds[1], thresholds[2])
	}
	reportFixed(files, Scorers()[0], out)
	return nil
}

func judgeFiles(files []NABFile, scorer Scorer) [][]Point {
	points := make([][]Point, len(files))
	for i, f := range files {
		points[i] = Points(f.Windows, scorer.Score(f.Series))
	}
	return points
}

// reportFixed prints the results at the released threshold, their spread over files, and
// the results of each category.
func reportFixed(files []NABFile, scorer Scorer, out io.Writer) {
	points := judgeFiles(files, scorer)
	var cells, spread [3]any
	for i, profile := range Profiles() {
		low, high := Spread(profile, anomaly.Threshold, points)
		cells[i] = At(profile, anomaly.Threshold, points).Score
		spread[i] = fmt.Sprintf("%.0f–%.0f", low, high)
	}
	fmt.Fprintf(out, "| %s, fixed threshold | %.2f | %.2f | %.2f | %g |\n", scorer.Name, cells[0], cells[1], cells[2], anomaly.Threshold)
	fmt.Fprintf(out, "| the same, files resampled, 5–95 %% | %s | %s | %s | |\n", spread[:]...)

	fmt.Fprintf(out, "\n%s at the fixed threshold:\n\n", scorer.Name)
	fmt.Fprintln(out, "| category | files | windows | detected | false alarms | standard |")
	fmt.Fprintln(out, "| --- | ---: | ---: | ---: | ---: | ---: |")
	var names []string
	categories := map[string][][]Point{}
	for i, f := range files {
		if !slices.Contains(names, f.Category()) {
			names = append(names, f.Category())
		}
		categories[f.Category()] = append(categories[f.Category()], points[i])
	}
	for _, name := range names {
		o := At(Profiles()[0], anomaly.Threshold, categories[name])
		score := "–"
		if o.Windows > 0 {
			score = fmt.Sprintf("%.1f", o.Score)
		}
		fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %s |\n", name, len(categories[name]), o.Windows, o.Detected, o.FalseAlarms, score)
	}
}

// Spread resamples the files with replacement (bootstrap) and returns the 5th and the 95th
// percentile of the score at a threshold. The resamples are the same in every run.
func Spread(profile Profile, threshold float64, files [][]Point) (low, high float64) {
	const draws = 2000
	outcomes := make([]Outcome, len(files))
	for i := range files {
		outcomes[i] = At(profile, threshold, files[i:i+1])
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the bootstrap must be repeatable
	var scores []float64
	for range draws {
		raw, windows := 0.0, 0
		for range outcomes {
			o := outcomes[random.IntN(len(outcomes))]
			raw += o.Raw
			windows += o.Windows
		}
		if windows > 0 {
			scores = append(scores, profile.score(raw, windows))
		}
	}
	if len(scores) == 0 {
		return 0, 0
	}
	slices.Sort(scores)
	return scores[len(scores)/20], scores[len(scores)-1-len(scores)/20]
}
