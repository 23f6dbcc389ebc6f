package judge

import (
	"fmt"
	"io"
	"slices"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// ReportNAB prints, as Markdown, how the released detector and those it is
// compared with do on the benchmark in dir.
func ReportNAB(dir string, out io.Writer) error {
	files, err := LoadNAB(dir)
	if err != nil {
		return err
	}
	rows, windows := 0, 0
	for _, f := range files {
		rows += len(f.Values)
		windows += len(f.Windows)
	}
	fmt.Fprintf(out, "NAB: %d files, %d rows, %d windows.\n\n", len(files), rows, windows)
	fmt.Fprintln(out, "| detector | standard | reward_low_FP | reward_low_FN | thresholds |")
	fmt.Fprintln(out, "| --- | ---: | ---: | ---: | --- |")
	for _, scorer := range Scorers() {
		points := allPoints(files, scorer)
		var scores, thresholds []any
		for _, profile := range Profiles() {
			best := Best(profile, points)
			scores = append(scores, best.Score)
			thresholds = append(thresholds, best.Threshold)
		}
		fmt.Fprintf(out, "| %s | %.2f | %.2f | %.2f | %s |\n", append(append([]any{scorer.Name}, scores...), fmt.Sprintf("%.6g / %.6g / %.6g", thresholds...))...)
	}
	released := Scorers()[0]
	points := allPoints(files, released)
	fixed := make([]any, 0, 4)
	fixed = append(fixed, anomaly.Threshold)
	for _, profile := range Profiles() {
		fixed = append(fixed, At(profile, anomaly.Threshold, points).Score)
	}
	fmt.Fprintf(out, "| %s, fixed threshold %.4g | %.2f | %.2f | %.2f | |\n", append([]any{released.Name}, fixed...)...)
	return reportCategories(files, released, out)
}

func allPoints(files []NABFile, scorer Scorer) [][]Point {
	points := make([][]Point, len(files))
	for i, f := range files {
		points[i] = Points(f.Windows, scorer.Score(f.Series))
	}
	return points
}

// reportCategories prints the detections of each category at the fixed threshold.
func reportCategories(files []NABFile, scorer Scorer, out io.Writer) error {
	standard := Profiles()[0]
	fmt.Fprintf(out, "\n%s at the fixed threshold, by category:\n\n", scorer.Name)
	fmt.Fprintln(out, "| category | files | windows | detected | false alarms | standard |")
	fmt.Fprintln(out, "| --- | ---: | ---: | ---: | ---: | ---: |")
	var names []string
	for _, f := range files {
		if !slices.Contains(names, f.Category()) {
			names = append(names, f.Category())
		}
	}
	for _, name := range names {
		var points [][]Point
		for _, f := range files {
			if f.Category() == name {
				points = append(points, Points(f.Windows, scorer.Score(f.Series)))
			}
		}
		o := At(standard, anomaly.Threshold, points)
		score := fmt.Sprintf("%.1f", o.Score)
		if o.Windows == 0 {
			score = "–"
		}
		fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %s |\n", name, len(points), o.Windows, o.Detected, o.FalseAlarms, score)
	}
	return nil
}
