package access_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/password"
)

// BenchmarkLoginTiming measures how long failed logins take over a real database, and
// prints for each kind the distribution and how well it can be distinguished from a wrong
// password. docs/bench/login-timing.md has a result:
//
//	go run ./cdk/local/postgres/cmd/testdb -tree .local/timescale -- \
//		go test ./lib/access -run '^$' -bench LoginTiming -benchtime 300x
//
// Each iteration is one login of each kind, in random order.
func BenchmarkLoginTiming(b *testing.B) {
	for _, cost := range []struct {
		name string
		cost password.Cost
	}{{"cheap", cheap()}, {"default", password.DefaultCost()}} {
		b.Run(cost.name, func(b *testing.B) { timeLogins(b, cost.cost) })
	}
}

type kind struct {
	what, name, given string
	locked            bool
	took              []float64 // milliseconds
}

func timeLogins(b *testing.B, cost password.Cost) {
	b.Helper()
	l := newLogin(b, cost)
	kinds := []*kind{
		{what: "wrong password", name: "ada", given: wrong},
		{what: "wrong password, again", name: "ada", given: wrong},
		{what: "unknown name", name: "bob", given: wrong},
		{what: "disabled, wrong password", name: "dora", given: wrong},
		{what: "disabled, its own password", name: "dora", given: secret},
		{what: "locked", name: "ada", given: wrong, locked: true},
		{what: "locked, unknown name", name: "bob", given: wrong, locked: true},
	}
	if cost != cheap() {
		// A locked login computes no hash, but locking a name computes five.
		kinds = slices.DeleteFunc(kinds, func(k *kind) bool { return k.locked })
	}
	random := rand.New(rand.NewPCG(1, 2))
	login := func(k *kind) {
		l.resetAttempts()
		for n := 0; k.locked && n < 5; n++ {
			l.fail(b, k.name, wrong)
		}
		start := time.Now()
		w := l.fail(b, k.name, k.given)
		k.took = append(k.took, float64(time.Since(start))/float64(time.Millisecond))
		if w.Locked != k.locked {
			b.Fatalf("%s: got locked %t, want %t", k.what, w.Locked, k.locked)
		}
	}
	for _, k := range kinds { // prepare statements and fill caches
		for range 10 {
			login(k)
		}
		k.took = nil
	}
	for b.Loop() {
		random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		for _, k := range kinds {
			login(k)
		}
	}
	slices.SortFunc(kinds, func(x, y *kind) int { return cmp.Compare(x.what, y.what) })
	b.Log(table(kinds))
}

// table compares each kind with its reference: a wrong password, or a locked name.
func table(kinds []*kind) string {
	reference := make(map[bool][]float64)
	for _, k := range kinds {
		if k.what == "wrong password" || k.what == "locked" {
			reference[k.locked] = k.took
		}
	}
	var out strings.Builder
	fmt.Fprintln(&out, "| failed login | n | p10 ms | median ms | p90 ms | P(longer) | z | p |")
	fmt.Fprintln(&out, "| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, k := range kinds {
		longer, z, p := mannWhitney(k.took, reference[k.locked])
		fmt.Fprintf(&out, "| %s | %d | %.3f | %.3f | %.3f | %.3f | %+.2f | %.3f |\n",
			k.what, len(k.took), quantile(k.took, 0.1), quantile(k.took, 0.5), quantile(k.took, 0.9), longer, z, p)
	}
	return strings.TrimSpace(out.String())
}

func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// mannWhitney compares two samples (Mann and Whitney, 1947). It returns the probability
// that a value of x is longer than one of y, the z-score of U under the hypothesis that
// both have the same distribution, and its two-sided p-value by the normal approximation
// with the correction for ties.
func mannWhitney(x, y []float64) (longer, z, p float64) {
	type value struct {
		v float64
		x bool
	}
	var all []value
	for _, v := range x {
		all = append(all, value{v, true})
	}
	for _, v := range y {
		all = append(all, value{v, false})
	}
	slices.SortFunc(all, func(a, b value) int { return cmp.Compare(a.v, b.v) })
	n1, n2 := float64(len(x)), float64(len(y))
	n, ranks, ties := n1+n2, 0.0, 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].v == all[i].v {
			j++
		}
		equal := float64(j - i)
		ties += equal*equal*equal - equal
		for _, v := range all[i:j] {
			if v.x {
				ranks += float64(i+j+1) / 2
			}
		}
		i = j
	}
	u := ranks - n1*(n1+1)/2
	z = (u - n1*n2/2) / math.Sqrt(n1*n2/12*(n+1-ties/(n*(n-1))))
	return u / (n1 * n2), z, math.Erfc(math.Abs(z) / math.Sqrt2)
}

func TestMannWhitney(t *testing.T) {
	t.Parallel()
	// Computed by hand: x is longer in 8 of 9 pairs, and sd² = 9/12·7.
	longer, z, p := mannWhitney([]float64{3, 5, 6}, []float64{1, 2, 4})
	if math.Abs(longer-8.0/9) > 1e-12 || math.Abs(z-3.5/math.Sqrt(5.25)) > 1e-12 || math.Abs(p-0.1266) > 1e-3 {
		t.Errorf("got %v, %v, %v", longer, z, p)
	}
	if longer, z, p := mannWhitney([]float64{1, 1, 2}, []float64{1, 1, 2}); longer != 0.5 || z != 0 || p != 1 {
		t.Errorf("the same sample twice: got %v, %v, %v, want 0.5, 0, 1", longer, z, p)
	}
}
