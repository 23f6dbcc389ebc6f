// Package judge holds detectors against labelled corpora: the Numenta Anomaly
// Benchmark and the Skoltech Anomaly Benchmark. It reads the corpora where they
// stand and ships none of their data. Detectors never see labels: a [Scorer] is
// given a series alone.
//
// NAB's rules are those of Lavin & Ahmad, "Evaluating Real-time Anomaly
// Detection Algorithms", 2015, arXiv 1510.03336, in the form of the benchmark's
// sweep over thresholds, which differs from the paper in where within a window a
// detection's position is measured from; see [Points].
package judge
