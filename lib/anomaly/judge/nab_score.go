package judge

import (
	"cmp"
	"math"
	"slices"
)

// Profile is the weights of a benchmark's outcomes.
type Profile struct {
	Name string
	// TP is the reward for a window that is detected at once, FP the penalty of a false
	// alarm far from any window, FN that of a window without a detection. NAB's profiles
	// have a weight of true negatives too, which its formula does not use.
	TP, FP, FN float64
}

// Profiles returns NAB's three profiles.
func Profiles() []Profile {
	return []Profile{
		{Name: "standard", TP: 1, FP: 0.11, FN: 1},
		{Name: "reward_low_FP_rate", TP: 1, FP: 0.22, FN: 1},
		{Name: "reward_low_FN_rate", TP: 1, FP: 0.11, FN: 2},
	}
}

// score normalises a raw score: the null detector has 0, a perfect one 100.
func (p Profile) score(raw float64, windows int) float64 {
	null, perfect := -p.FN*float64(windows), p.TP*float64(windows)
	return 100 * (raw - null) / (perfect - null)
}

// Probation returns the number of rows at the start of a file that are not judged.
func Probation(rows int) int {
	return int(math.Ceil(min(math.Floor(0.15*float64(rows)), 0.15*5000)))
}

// Point is the score of a row and its reward or penalty if it is called anomalous.
type Point struct {
	// Score is the detector's score.
	Score float64
	// Worth is in (0,1] within a window, greater for earlier rows, and in [-1,0) outside,
	// by the distance from the previous window; without the weights of a profile.
	Worth float64
	// Window is the index of the row's window, or -1.
	Window int
}

// Points returns the points of a file's rows after its probation; scores has one element
// per row.
//
// In a window of w rows with the last row r, row i has the position -(r-i+1)/w, so that the
// first has -1 and none has 0; a row after the window has (i-r)/(w-1). The worth is
// 2/(1+e^(5·position))-1, for rows in windows divided by that of the window's first row;
// it is -1 from position 3 on and before the first window.
func Points(windows []Window, scores []float64) []Point {
	points := make([]Point, 0, len(scores))
	next := 0 // the current or next window
	for i, score := range scores {
		p := Point{Score: score, Window: -1}
		if next < len(windows) && i >= windows[next].First {
			w := windows[next]
			p.Window = next
			p.Worth = sigmoid(-float64(w.Last-i+1)/float64(w.Last-w.First+1)) / sigmoid(-1)
			if i == w.Last {
				next++
			}
		} else {
			position := 3.0
			if next > 0 {
				w := windows[next-1]
				position = float64(i-w.Last) / float64(w.Last-w.First)
			}
			p.Worth = sigmoid(position)
		}
		points = append(points, p)
	}
	return points[min(Probation(len(scores)), len(points)):]
}

func sigmoid(position float64) float64 {
	if position >= 3 {
		return -1
	}
	return 2/(1+math.Exp(5*position)) - 1
}

// Outcome is the result of a detector at one threshold.
type Outcome struct {
	Threshold float64
	// Raw is the sum of rewards and penalties; Score is 0 for a detector without any
	// detection and 100 for one that detects each window in its first row and nothing
	// else. Score is NaN for a corpus without windows.
	Raw, Score float64
	// Windows is the number of windows, Detected that of windows with a detection;
	// FalseAlarms counts rows.
	Windows, Detected, FalseAlarms int
}

// Best returns the outcome at the best threshold of the profile over all files, as the
// benchmark chooses it: the highest of the best thresholds among the scores that occur, and
// 1.1, which detects nothing. files has the points of each file.
func Best(profile Profile, files [][]Point) Outcome {
	best := Outcome{Threshold: math.NaN(), Raw: math.Inf(-1)}
	sweep(profile, files, func(o Outcome) bool {
		if o.Raw > best.Raw {
			best = o
		}
		return true
	})
	return best
}

// At returns the outcome at a threshold: rows with at least that score are detections.
func At(profile Profile, threshold float64, files [][]Point) Outcome {
	var last Outcome
	sweep(profile, files, func(o Outcome) bool {
		if o.Threshold < threshold {
			return false
		}
		last = o
		return true
	})
	last.Threshold = threshold
	return last
}

// sweep calls visit with the outcome at each threshold, from the highest down,
// until it returns false.
func sweep(profile Profile, files [][]Point, visit func(Outcome) bool) {
	type entry struct {
		score, worth float64
		window       int // in windows, or -1
	}
	var entries []entry
	var windows []float64 // the best worth in each, or NaN
	for _, points := range files {
		known := map[int]int{}
		for _, p := range points {
			e := entry{score: p.Score, worth: p.Worth * profile.FP, window: -1}
			if p.Window >= 0 {
				index, ok := known[p.Window]
				if !ok {
					index = len(windows)
					known[p.Window] = index
					windows = append(windows, math.NaN())
				}
				e.window, e.worth = index, p.Worth*profile.TP
			}
			entries = append(entries, e)
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(b.score, a.score) })

	o := Outcome{Threshold: 1.1, Raw: -profile.FN * float64(len(windows)), Windows: len(windows)}
	emit := func() bool {
		o.Score = profile.score(o.Raw, o.Windows)
		return visit(o)
	}
	for _, e := range entries {
		if e.score != o.Threshold {
			if !emit() {
				return
			}
			o.Threshold = e.score
		}
		switch {
		case e.window < 0:
			o.FalseAlarms++
			o.Raw += e.worth
		case math.IsNaN(windows[e.window]):
			o.Detected++
			o.Raw += profile.FN + e.worth
			windows[e.window] = e.worth
		case e.worth > windows[e.window]:
			o.Raw += e.worth - windows[e.window]
			windows[e.window] = e.worth
		}
	}
	emit()
}
