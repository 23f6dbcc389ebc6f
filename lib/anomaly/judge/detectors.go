package judge

import (
	"math"
	"math/rand/v2"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// Scorer returns a score in [0,1] for each row of a series, from that row and earlier ones.
type Scorer struct {
	Name  string
	Score func(Series) []float64
}

// Scorers returns the released detector and the baselines.
func Scorers() []Scorer {
	return []Scorer{
		{Name: "InsightHub", Score: Released},
		{Name: "windowed Gaussian", Score: windowedGaussian},
		{Name: "random", Score: random},
		{Name: "null", Score: null},
	}
}

// Released scores a series with the released detector.
func Released(s Series) []float64 {
	var d anomaly.Detector
	scores := make([]float64, len(s.Values))
	d.PushBlock(s.Micros, s.Values, scores, make([]uint8, len(scores)))
	return scores
}

// null is the benchmark's detector of that name: it returns the same score for every row.
func null(s Series) []float64 {
	scores := make([]float64, len(s.Values))
	for i := range scores {
		scores[i] = 0.5
	}
	return scores
}

// random returns random scores, with a seed for each length of series.
func random(s Series) []float64 {
	source := rand.New(rand.NewPCG(42, uint64(len(s.Values)))) //nolint:gosec // the sequence must be repeatable
	scores := make([]float64, len(s.Values))
	for i := range scores {
		scores[i] = source.Float64()
	}
	return scores
}

// windowedGaussian is the benchmark's detector of that name: the tail probability of the
// normal distribution beyond the value, with the mean and the standard deviation of up to
// 6,400 previous values, recomputed every 100 values once there are as many.
func windowedGaussian(s Series) []float64 {
	const size, step = 6400, 100
	scores := make([]float64, len(s.Values))
	mean, deviation := 0.0, 1.0
	for i, value := range s.Values {
		if i > 0 {
			scores[i] = 1 - 0.5*math.Erfc(math.Abs(value-mean)/(deviation*math.Sqrt2))
		}
		if seen := i + 1; seen <= size || (seen-size)%step == 0 {
			mean, deviation = moments(s.Values[max(0, seen-size):seen])
		}
	}
	return scores
}

func moments(values []float64) (mean, deviation float64) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	var squares float64
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	if squares == 0 {
		return mean, 0.000001
	}
	return mean, math.Sqrt(squares / float64(len(values)))
}
