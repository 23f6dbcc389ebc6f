package anomaly

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestRest(t *testing.T) {
	for _, test := range []struct {
		name  string
		after int
		value float64
		want  bool
	}{
		{"the same again is not new", 500, 30, false},
		{"a little more soon after is at rest", 5, 31, false},
		{"a little more later is an anomaly", 500, 31, true},
		{"much more soon after is an anomaly", 5, 90, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			noise := rand.New(rand.NewPCG(1, 1))
			var d Detector
			for i := range 3000 {
				d.Push(int64(i), 20+noise.Float64())
			}
			if _, anomalous := d.Push(3000, 30); !anomalous {
				t.Fatal("the first is not anomalous")
			}
			for i := range test.after {
				d.Push(int64(3001+i), 20.5)
			}
			if score, anomalous := d.Push(9000, test.value); anomalous != test.want {
				t.Errorf("score %v, anomalous %v", score, anomalous)
			}
		})
	}
}

// TestForgetting pushes a wide range, then a narrow one for some epochs, and a
// value that only the wide one knows.
func TestForgetting(t *testing.T) {
	for _, test := range []struct {
		name   string
		micros int64 // between samples
		epochs int
		want   bool
	}{
		{"within an epoch", 60_000_000, 0, false},
		{"within the next", 60_000_000, 1, false},
		{"after two", 60_000_000, 2, true},
		{"two days have not passed", 1_000_000, 2, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			noise := rand.New(rand.NewPCG(1, 1))
			var d Detector
			now := int64(0)
			push := func(value float64) (anomalous bool) {
				now += test.micros
				_, anomalous = d.Push(now, value)
				return anomalous
			}
			for range 5000 {
				push(100 * noise.Float64())
			}
			for range test.epochs*(experience+2) + 2000 {
				push(50 + noise.Float64())
			}
			for name, s := range map[string]span{"value": d.value, "above": d.above, "level": d.level, "daily": d.daily.span} {
				if narrow := s.upper-s.lower < 20; test.want && !narrow {
					t.Errorf("the range of %s is still %+v", name, s)
				}
			}
			if got := push(90); got != test.want {
				t.Errorf("anomalous %v, want %v", got, test.want)
			}
		})
	}
}

func TestSpanForgets(t *testing.T) {
	var s span
	s.begin(0)
	s.push(10, 0, 1)
	s.forget()
	if s.lower != 0 || s.upper != 10 {
		t.Fatalf("after an epoch %+v", s)
	}
	s.forget() // no value in this epoch
	s.push(4, 0, 1)
	s.push(6, 0, 1)
	if s.lower != 0 || s.upper != 10 {
		t.Fatalf("in the next epoch %+v", s)
	}
	s.forget()
	if s.lower != 4 || s.upper != 6 {
		t.Fatalf("after it %+v", s)
	}
}

// TestStride follows what is usual of values outside the range: noise's own records count
// half, and an anomaly does not make the next one usual.
func TestStride(t *testing.T) {
	s := span{lower: 0, upper: 10, newLower: 0, newUpper: 10}
	if got := s.push(11, 0, 1000); got != 0.1 || s.stride != 1 {
		t.Errorf("the first outside: novelty %v, stride %v", got, s.stride)
	}
	if got, want := s.push(12, 0, 1000), 1./11/2; math.Abs(got-want) > 1e-12 || s.stride != 1 {
		t.Errorf("one as usual: novelty %v, want %v; stride %v", got, want, s.stride)
	}
	if got, want := s.push(24, 0, 1000), 1.*12/13; math.Abs(got-want) > 1e-12 || math.Abs(s.stride-1.3) > 1e-12 {
		t.Errorf("an anomaly: novelty %v, want %v; stride %v", got, want, s.stride)
	}
	s.forget() // the range of the last epoch is this one's too
	if math.Abs(s.stride-1.3) > 1e-12 {
		t.Errorf("stride %v after an epoch", s.stride)
	}
	s.push(3, 0, 1000)
	s.push(15, 0, 1000)
	if s.forget(); math.Abs(s.stride-0.65) > 1e-12 {
		t.Errorf("stride %v of a range of %v to %v", s.stride, s.lower, s.upper)
	}
	s.push(7, 0, 1000)
	if s.forget(); s.stride != 0 || s.push(7.5, 0, 1000) != 1 {
		t.Errorf("stride %v of a constant series", s.stride)
	}
}

func TestNovelty(t *testing.T) {
	for _, test := range []struct {
		value, floor float64
		seen         uint32
		want         float64
	}{
		{value: 5, seen: 1000, want: 0},
		{value: 10, seen: 1000, want: 0},
		{value: 12, seen: 1000, want: 0.2},
		{value: -1, seen: 1000, want: 0.1},
		{value: 12, seen: 4000, want: 0.4},
		{value: 1e100, seen: 1000, want: 1},
		{value: 15, floor: 40, seen: 1000, want: 0.1},
		{value: 12, seen: warmUp, want: 0},
	} {
		s := span{lower: 0, upper: 10, newLower: 0, newUpper: 10}
		if got := s.push(test.value, test.floor, test.seen); got < test.want-1e-12 || got > test.want+1e-12 {
			t.Errorf("%+v: novelty %v", test, got)
		}
		if test.value < s.lower || test.value > s.upper {
			t.Errorf("%+v: not learned", test)
		}
	}
}

// TestUsualHours teaches a value per hour of the week, with an offset per day of
// the week, and reads the usual value in the first and the last microsecond of
// hours, in years before 1970 and after.
func TestUsualHours(t *testing.T) {
	for _, start := range []int64{0, -500 * 7 * day, 2900 * 7 * day} {
		var d daily
		d.begin(start)
		usual := func(h int64) float64 { return float64(h%24 + 100*(h/24%7)) }
		for h := range int64(5 * hoursOfWeek) {
			for _, within := range []int64{0, hour / 2, hour - 1} {
				d.push(start+h*hour+within, usual(h), 0)
				if h < hoursOfDay && d.known != 0 {
					t.Fatalf("hour %d is known on the first day", h)
				}
				if h >= 2*hoursOfWeek && d.usual != usual(h) {
					t.Fatalf("from %d, hour %d: usual is %v, want %v", start, h, d.usual, usual(h))
				}
			}
		}
	}
}

func TestHourOf(t *testing.T) {
	for micros, want := range map[int64]int64{0: 0, hour - 1: 0, hour: 1, -1: -1, -hour: -1, -hour - 1: -2} {
		if got := hourOf(micros); got != want {
			t.Errorf("hour of %d is %d, want %d", micros, got, want)
		}
	}
}

func TestQuietReportsOnce(t *testing.T) {
	var q quiet
	reports := 0
	push := func(move float64, n int) {
		for range n {
			if q.push(move, experience) {
				reports++
			}
		}
	}
	for i := range uint32(1000) {
		q.push(1, i+1)
	}
	push(0.6, 500)
	if reports != 0 {
		t.Error("somewhat less movement is reported")
	}
	push(0, 500)
	push(1, 500)
	push(0, 500)
	if reports != 1 {
		t.Errorf("%d reports in an epoch, want 1", reports)
	}
	q = quiet{moves: 1, least: 0, newest: 0.9}
	q.forget()
	push(0, 500)
	if reports != 2 {
		t.Error("silence in the next epoch is not reported")
	}
}

func TestRestoreLosesNothing(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 1))
	var d Detector
	for i := range int64(3 * experience) {
		d.Push(i*61_000_000, noise.NormFloat64())
		if i%5000 != 0 {
			continue
		}
		var restored Detector
		if err := restored.Restore(d.AppendState(nil)); err != nil {
			t.Fatal(err)
		}
		if restored != d {
			t.Fatalf("after %d samples %+v is restored as %+v", i, d, restored)
		}
	}
}

// TestDriftIsLetBe counts alarms of a series that leaves its range slowly.
func TestDriftIsLetBe(t *testing.T) {
	alarms := 0
	for seed := range uint64(10) {
		noise := rand.New(rand.NewPCG(seed, 1))
		var d Detector
		for i := range 6000 {
			if _, anomalous := d.Push(int64(i), 0.003*float64(i)+noise.NormFloat64()); anomalous && i >= 1000 {
				alarms++
			}
		}
	}
	if alarms > 100 {
		t.Errorf("%d alarms in 10 series", alarms)
	}
}
