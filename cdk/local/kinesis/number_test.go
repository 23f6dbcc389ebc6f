package kinesis

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func (h hashKey) big() *big.Int {
	v := new(big.Int).SetUint64(h.hi)
	return v.Lsh(v, 64).Add(v, new(big.Int).SetUint64(h.lo))
}

func TestHashKeyDecimal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := hashKey{rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
		if got, want := h.String(), h.big().String(); got != want {
			t.Fatalf("String = %s, want %s", got, want)
		}
		if got, ok := parseHashKey(h.String()); !ok || got != h {
			t.Fatalf("parse(%s) = %v, %v", h, got, ok)
		}
	})
	for _, s := range []string{"", "-1", "01", "1x", "340282366920938463463374607431768211456", "999999999999999999999999999999999999999"} {
		if h, ok := parseHashKey(s); ok {
			t.Errorf("parseHashKey(%q) = %s, want an error", s, h)
		}
	}
	// MD5("a") as computed by md5sum(1).
	if got, want := hashOf("a").String(), "16955237001963240173058271559858726497"; got != want {
		t.Errorf("hashOf(a) = %s, want %s", got, want)
	}
}

func TestEvenRangesCoverAllHashKeys(t *testing.T) {
	t.Parallel()
	space := new(big.Int).Lsh(big.NewInt(1), 128)
	for n := 1; n <= 1000; n++ {
		part := new(big.Int).Div(space, big.NewInt(int64(n)))
		for _, i := range []int{0, 1, n / 2, n - 2, n - 1} {
			if i < 0 || i >= n {
				continue
			}
			r := evenRange(i, n)
			if want := new(big.Int).Mul(part, big.NewInt(int64(i))); r.first.big().Cmp(want) != 0 {
				t.Fatalf("part %d of %d starts at %s, want %s", i, n, r.first, want)
			}
			if i == n-1 && r.last != maxHashKey() || i < n-1 && r.last.next() != evenRange(i+1, n).first {
				t.Fatalf("part %d of %d ends at %s", i, n, r.last)
			}
		}
	}
}

func TestSequenceNumbers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func() sequence {
			return sequence{
				created: rapid.Int64Range(1e9, 16e9).Draw(t, "created"),
				index:   rapid.Uint64Range(0, lastIndex).Draw(t, "index"),
				arrived: rapid.Int64Range(1e9, 16e9).Draw(t, "arrived"),
				shard:   rapid.Uint32().Draw(t, "shard"),
			}
		}
		a, b := draw(), draw()
		if got, ok := parseSequence(a.String()); !ok || got != a {
			t.Fatalf("%+v is encoded as %s and decoded as %+v (%v)", a, a, got, ok)
		}
		if len(a.String()) != sequenceDigits {
			t.Fatalf("%s has %d digits, want %d", a, len(a.String()), sequenceDigits)
		}
		b.shard = a.shard
		below := a.created < b.created || a.created == b.created && a.index < b.index
		if below && a.String() >= b.String() {
			t.Fatalf("%+v = %s is not below %+v = %s", a, a, b, b)
		}
	})
	for _, s := range []string{
		"", "0", "x", "49590338271490256608559692538361571095921575989136588898x", strings.Repeat("9", sequenceDigits),
	} {
		if q, ok := parseSequence(s); ok {
			t.Errorf("parseSequence(%q) = %+v, want an error", s, q)
		}
	}
	// A sequence number of AWS, from the API reference of GetRecords.
	q, ok := parseSequence("49544985256907370027570885864065577703022652638596431874")
	if !ok || q.shard != 0 || q.index == 0 {
		t.Errorf("the example of AWS is decoded as %+v, %v", q, ok)
	}
}
