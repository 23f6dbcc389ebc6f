package remotewrite

// split appends the parts of a series: one, unless it is too large for a request.
func (c *Client) split(parts []part, index int, s *Series) []part {
	limit := c.size.limit(c.cfg.MaxSamples)
	from, samples, size := 0, 0, s.labelBytes()
	for i := range s.length() {
		n, b := s.weight(i)
		if i > from && (samples+n > limit || size+b > c.cfg.MaxBytes) {
			parts = append(parts, part{series: index, from: from, to: i})
			from, samples, size = i, 0, s.labelBytes()
		}
		samples += n
		size += b
	}
	return append(parts, part{series: index, from: from, to: s.length()})
}

// fit returns how many of the parts go into one request: at least one.
func (c *Client) fit(series []Series, parts []part) int {
	limit := c.size.limit(c.cfg.MaxSamples)
	samples, size := 0, 0
	for i, p := range parts {
		s := &series[p.series]
		size += s.labelBytes()
		for j := p.from; j < p.to; j++ {
			n, b := s.weight(j)
			samples += n
			size += b
		}
		if i > 0 && (samples > limit || size > c.cfg.MaxBytes) {
			return i
		}
	}
	return len(parts)
}

// fitUnits returns how many of the units go into one request of at most limit samples: at
// least one.
func (c *Client) fitUnits(series []Series, units []unit, limit int) int {
	limit = min(limit, c.cfg.MaxSamples)
	samples, size, last := 0, 0, -1
	for i, u := range units {
		s := &series[u.series]
		n, b := 1, sampleBytes
		switch {
		case u.classic > 0:
			b += s.labelBytes()
		default:
			n, b = s.weight(u.at)
			if u.series != last {
				b += s.labelBytes()
			}
		}
		last = u.series
		samples += n
		size += b
		if i > 0 && (samples > limit || size > c.cfg.MaxBytes) {
			return i
		}
	}
	return len(units)
}

// The size of a field without its text, and of a whole sample or bucket.
const (
	fieldBytes  = 6
	sampleBytes = 24
)

// labelBytes is an upper estimate of the size of a part without its samples.
func (s *Series) labelBytes() int {
	n := 8*fieldBytes + len(s.Metadata.Help) + len(s.Metadata.Unit) + len(s.name())
	for i := range s.Labels {
		n += len(s.Labels[i].Name) + len(s.Labels[i].Value) + 2*fieldBytes
	}
	for i := range s.Exemplars {
		n += sampleBytes
		for _, l := range s.Exemplars[i].Labels {
			n += len(l.Name) + len(l.Value) + 2*fieldBytes
		}
	}
	return n
}

// weight is an upper estimate of what the sample or histogram at i adds: in
// samples, and in bytes.
func (s *Series) weight(i int) (samples, size int) {
	if len(s.Histograms) == 0 {
		return 1, sampleBytes
	}
	h := &s.Histograms[i]
	n := len(h.Buckets) + 3
	if h.Native != nil && len(h.Buckets) == 0 {
		n += len(h.Native.PositiveDeltas) + len(h.Native.NegativeDeltas) + 1
	}
	// Each bucket is a series with labels of its own in the classic form.
	return n, n * (sampleBytes + s.labelBytes())
}
