package testpattern

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// reader reads the bits of a NAL unit.
type reader struct {
	data []byte
	at   int
}

func newReader(unit []byte) *reader {
	r := &reader{}
	zeros := 0
	for _, b := range unit[1:] {
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		if zeros >= 2 && b < 3 {
			panic("start code inside a unit")
		}
		r.data = append(r.data, b)
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return r
}

func (r *reader) bits(n int) (v int) {
	for range n {
		v = v<<1 | int(r.data[r.at/8]>>(7-r.at%8)&1)
		r.at++
	}
	return v
}

func (r *reader) unsigned() int {
	n := 0
	for r.bits(1) == 0 {
		n++
	}
	return 1<<n - 1 + r.bits(n)
}

func (r *reader) signed() int {
	v := r.unsigned()
	if v%2 == 1 {
		return (v + 1) / 2
	}
	return -v / 2
}

// more is more_rbsp_data(): something before the trailing one.
func (r *reader) more() bool {
	last := len(r.data)*8 - 1
	for r.data[last/8]>>(7-last%8)&1 == 0 {
		last--
	}
	return r.at < last
}

// decoder is a second opinion on what the encoder writes: written from the standard's text, for its subset alone. It works on samples,
// so that a wrong prediction shows.
type decoder struct {
	t          *testing.T
	cols, rows int
	y          []int // samples, cols*16 wide
	cb, cr     []int // of 8 x 8
	reference  [3][]int
	pcm        []bool // of the picture being decoded: macroblocks with 16 coefficients in each block
	frameNum   int
	idrID      int
}

func (d *decoder) sequence(unit []byte) {
	r := newReader(unit)
	if profile := r.bits(24); profile != 0x42E01F {
		d.t.Fatalf("profile-level-id %06x", profile)
	}
	for range 3 { // id, frame_num's 4 more bits, order
		r.unsigned()
	}
	r.unsigned()
	r.bits(1)
	d.cols, d.rows = r.unsigned()+1, r.unsigned()+1
}

// decode decodes one access unit.
func (d *decoder) decode(units [][]byte) {
	for _, u := range units {
		switch u[0] & 31 {
		case 7:
			d.sequence(u)
			d.y, d.cb, d.cr = make([]int, d.cols*d.rows*256), make([]int, d.cols*d.rows*64), make([]int, d.cols*d.rows*64)
		case 5, 1:
			d.slice(u)
		}
	}
}

func (d *decoder) slice(unit []byte) {
	r := newReader(unit)
	idr, referenced := unit[0]&31 == 5, unit[0]>>5 != 0
	first, kind, _ := r.unsigned(), r.unsigned(), r.unsigned()
	if first != 0 || idr != (kind == 7) || !idr && kind != 5 {
		d.t.Fatalf("first macroblock %d, slice type %d", first, kind)
	}
	frameNum := r.bits(8)
	if idr {
		d.frameNum = 0
		if id := r.unsigned() + 1; id == d.idrID {
			d.t.Fatal("two IDR pictures in a row of one idr_pic_id")
		} else {
			d.idrID = id
		}
		r.bits(2)
	} else {
		if want := (d.frameNum + 1) % 256; frameNum != want {
			d.t.Fatalf("frame_num %d, want %d", frameNum, want)
		}
		r.bits(2)
		if referenced {
			r.bits(1)
			d.frameNum = frameNum
		}
		copy(d.y, d.reference[0])
		copy(d.cb, d.reference[1])
		copy(d.cr, d.reference[2])
	}
	if r.signed() != 0 || r.unsigned() != 1 {
		d.t.Fatal("quantizer or deblocking")
	}
	d.pcm = make([]bool, d.cols*d.rows)
	for i := 0; i < d.cols*d.rows; i++ {
		if !idr {
			i += r.unsigned()
			if !r.more() {
				if i != d.cols*d.rows {
					d.t.Fatalf("the slice ends at macroblock %d of %d", i, d.cols*d.rows)
				}
				break
			}
		}
		d.macroblock(r, i, idr)
	}
	if r.more() {
		d.t.Fatal("data after the last macroblock")
	}
	if referenced {
		for i, plane := range [][]int{d.y, d.cb, d.cr} {
			d.reference[i] = append([]int(nil), plane...)
		}
	}
}

func (d *decoder) macroblock(r *reader, i int, idr bool) {
	kind := r.unsigned()
	if !idr {
		kind -= 5
	}
	x, y := i%d.cols, i/d.cols
	if kind == 25 {
		d.pcm[i] = true
		r.at = (r.at + 7) / 8 * 8
		for _, p := range []struct {
			plane []int
			size  int
		}{{d.y, 16}, {d.cb, 8}, {d.cr, 8}} {
			for row := range p.size {
				for col := range p.size {
					p.plane[(y*p.size+row)*d.cols*p.size+x*p.size+col] = int(r.data[r.at/8])
					r.at += 8
				}
			}
		}
		return
	}
	if kind != 3 && kind != 7 {
		d.t.Fatalf("macroblock %d: type %d", i, kind)
	}
	mode := r.unsigned()
	if r.signed() != 0 {
		d.t.Fatal("mb_qp_delta")
	}
	context := d.context(i, x, y)
	level := d.coefficient(r, context)
	d.add(d.y, 16, x, y, 2, level)
	cb, cr := 0, 0
	if kind == 7 {
		cb, cr = d.coefficient(r, -1), d.coefficient(r, -1)
	}
	d.add(d.cb, 8, x, y, mode, cb)
	d.add(d.cr, 8, x, y, mode, cr)
}

// context is nC of section 9.2.1.
func (d *decoder) context(i, x, y int) int {
	sum, n := 0, 0
	for _, neighbour := range []struct {
		there bool
		at    int
	}{{x > 0, i - 1}, {y > 0, i - d.cols}} {
		if neighbour.there {
			n++
			if d.pcm[neighbour.at] {
				sum += 16
			}
		}
	}
	if n == 2 {
		return (sum + 1) >> 1
	}
	return sum
}

// coefficient reads a block of no or one coefficient.
func (d *decoder) coefficient(r *reader, context int) int {
	codes := map[string]int{"1": 0, "000101": 2, "01": 1} // of nC 0 and 1: 0 none, 1 of magnitude one, 2 above
	switch {
	case context == -1:
		codes = map[string]int{"01": 0, "000111": 2, "1": 1}
	case context >= 8:
		codes = map[string]int{"000011": 0, "000000": 2, "000001": 1}
	case context >= 2:
		d.t.Fatalf("nC %d", context)
	}
	kind, ok := 0, false
	for code := ""; !ok; kind, ok = codes[code] {
		if code += fmt.Sprint(r.bits(1)); len(code) > 6 {
			d.t.Fatal("coeff_token ", code)
		}
	}
	level := 0
	switch kind {
	case 0:
		return 0
	case 1:
		level = 1 - 2*r.bits(1)
	case 2:
		prefix := 0
		for r.bits(1) == 0 {
			prefix++
		}
		code := prefix
		switch prefix {
		case 14:
			code += r.bits(4)
		case 15:
			code = 30 + r.bits(12)
		}
		code += 2
		if level = (code + 2) >> 1; code%2 == 1 {
			level = (-code - 1) >> 1
		}
	}
	if r.bits(1) != 1 {
		d.t.Fatal("total_zeros")
	}
	return level
}

// add predicts a block of the plane by the mode of intra chroma (0 DC, 1 horizontal, 2 vertical) or luma (2 DC; size 16), and adds the
// residual, which at these quantizers is the level (sections 8.3.3, 8.3.4, 8.5).
func (d *decoder) add(plane []int, size, x, y, mode, level int) {
	stride := d.cols * size
	at := func(row, col int) *int { return &plane[(y*size+row)*stride+x*size+col] }
	dc := 0
	if size == 16 {
		sum, n := 0, 0
		for k := range size {
			if y > 0 {
				sum, n = sum+*at(-1, k), n+1
			}
			if x > 0 {
				sum, n = sum+*at(k, -1), n+1
			}
		}
		dc = 128
		if n > 0 {
			dc = (sum + n/2) / n
		}
	} else if mode == 0 {
		if x > 0 || y > 0 {
			d.t.Fatal("chroma DC beside neighbours")
		}
		dc = 128
	}
	for row := range size {
		for col := range size {
			predicted := dc
			if size == 8 && mode == 1 {
				predicted = *at(row, -1)
			}
			if size == 8 && mode == 2 {
				predicted = *at(-1, col)
			}
			*at(row, col) = predicted + level
		}
	}
}

// samples renders blocks as the decoder's planes.
func samples(blocks []block, cols int) (y, cb, cr []int) {
	l, _ := luma(blocks, cols)
	y = make([]int, len(l))
	for i, v := range l {
		y[i] = int(v)
	}
	cb, cr = make([]int, len(blocks)*64), make([]int, len(blocks)*64)
	for i, b := range blocks {
		for row := range 8 {
			for col := range 8 {
				at := (i/cols*8+row)*cols*8 + i%cols*8 + col
				cb[at], cr[at] = int(b.cb), int(b.cr)
			}
		}
	}
	return y, cb, cr
}

func TestDecodedPicturesAreTheDrawnOnes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ width, height, frames, key, every int }{
		{640, 360, 60, 31, 1},
		{320, 240, 3, 1, 1}, // IDR after IDR
		{330, 242, 60, 30, 1},
		{320, 160, 600, 0, 50}, // frame_num wraps
	} {
		e, p, d := newEncoder(c.width, c.height), newPattern("Press-01/A", c.width, c.height), &decoder{t: t}
		states := []string{"running", "fault", "idle"}
		at := time.UnixMicro(1_790_000_000_123_456)
		for i := range c.frames {
			blocks := p.draw(TimeCode{Captured: at.Add(time.Duration(i) * 33 * time.Millisecond), Frame: uint16(i)}, states[i/20%3])
			units, key, disposable := e.encode(blocks, i == c.key)
			if key != (i == 0 || i == c.key) {
				t.Fatalf("frame %d: key %v", i, key)
			}
			if disposable && i%3 == 0 {
				continue // dropped on the way
			}
			d.decode(units)
			if i%c.every > 1 {
				continue
			}
			y, cb, cr := samples(blocks, p.cols)
			for name, planes := range map[string][2][]int{"y": {y, d.y}, "cb": {cb, d.cb}, "cr": {cr, d.cr}} {
				if !slices.Equal(planes[0], planes[1]) {
					t.Fatalf("%d x %d, frame %d: plane %s differs from what was drawn", c.width, c.height, i, name)
				}
			}
		}
	}
}

func TestUnitsHoldNoStartCode(t *testing.T) {
	t.Parallel()
	payload := []byte{0, 0, 0, 0, 0, 1, 5, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0, 0, 0, 0, 0, 1, 0x80}
	if got := newReader(nal(headerIDR, payload)).data; !slices.Equal(got, payload) { // it panics at a start code
		t.Errorf("% x is read back as % x", payload, got)
	}
}

func BenchmarkFrame(b *testing.B) {
	e, p := newEncoder(640, 360), newPattern("press-01", 640, 360)
	at := time.UnixMicro(1_790_000_000_123_456)
	b.ReportAllocs()
	bytes := 0
	for i := range b.N {
		blocks := p.draw(TimeCode{Captured: at.Add(time.Duration(i) * 33_333 * time.Microsecond), Frame: uint16(i)}, "running")
		units, _, _ := e.encode(blocks, i%150 == 0)
		for _, u := range units {
			bytes += len(u)
		}
	}
	b.ReportMetric(float64(bytes)/float64(b.N), "bytes/frame")
}
