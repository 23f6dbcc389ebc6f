package module

// generator makes up the series of a machine: a daily triangle, noise, a step
// each 100,000 samples and a spike each 10,000.
type generator struct {
	at    uint64
	noise uint64
}

func (g *generator) fill(times []int64, values []float64) {
	const day = 1440
	for i := range times {
		g.noise = g.noise*6364136223846793005 + 1442695040888963407
		value := 20 + float64(g.noise>>40)/(1<<24)
		value += 0.01 * float64(min(g.at%day, day-g.at%day))
		value += float64(g.at / 100_000 % 2)
		if g.at%10_000 == 9_999 {
			value += 15
		}
		times[i], values[i] = int64(g.at)*1_000_000, value
		g.at++
	}
}
