package remotewrite

// isClassic reports whether the histogram is sent in its classic form.
func (c *Client) isClassic(h *Histogram) bool { return c.protocol == V1 || h.Native == nil }

// classicLength returns of how many series the classic form of the histogram consists.
func (e *encoder) classicLength(s *Series, h *Histogram) int {
	n := 0
	e.classic(s, h, func(classicSeries) { n++ })
	return n
}

// classicLabels renders the labels of one of these series.
func (e *encoder) classicLabels(s *Series, h *Histogram, index int) string {
	text, n := "", 0
	e.classic(s, h, func(c classicSeries) {
		if n == index {
			text = (&Series{Labels: c.labels}).String()
		}
		n++
	})
	return text
}
