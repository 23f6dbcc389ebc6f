// Package judge evaluates detectors on labelled corpora, the Numenta Anomaly Benchmark and
// the Skoltech Anomaly Benchmark, and on generated noise. It reads the corpora from a
// directory and contains none of their data. Detectors never see labels: a [Scorer] is
// passed a series only.
//
// NAB's rules are those of Lavin & Ahmad, "Evaluating Real-time Anomaly Detection
// Algorithms", 2015, arXiv 1510.03336, as implemented by the benchmark's sweep over
// thresholds, which differs from the paper in the origin of a detection's position within
// a window; see [Points].
package judge
