package testpattern

import "fmt"

// Sizes of a picture in pixels: the least that holds the time code and the machine's name, and the most of level 3.1.
const (
	MinWidth  = 320
	MinHeight = 160
	MaxWidth  = 1280
	MaxHeight = 720
)

// colours of a picture: BT.601, limited range.
//
//nolint:gochecknoglobals // a table
var (
	black      = block{y: 16, cb: 128, cr: 128}
	white      = block{y: 235, cb: 128, cr: 128}
	background = block{y: 60, cb: 128, cr: 128}
	paper      = block{y: 180, cb: 128, cr: 128}
	green      = block{y: 145, cb: 54, cr: 34}
	amber      = block{y: 170, cb: 30, cr: 160}
	red        = block{y: 110, cb: 100, cr: 220}
	// The bars: white, yellow, cyan, green, magenta, red, blue, black at 75 %.
	bars = [8]block{
		{y: 180, cb: 128, cr: 128},
		{y: 162, cb: 44, cr: 142},
		{y: 131, cb: 156, cr: 44},
		{y: 112, cb: 72, cr: 58},
		{y: 84, cb: 184, cr: 198},
		{y: 65, cb: 100, cr: 212},
		{y: 35, cb: 212, cr: 114},
		{y: 16, cb: 128, cr: 128},
	}
)

// pattern draws the pictures of one machine.
type pattern struct {
	cols, rows int
	name       string
	blocks     []block
}

func checkSize(width, height int) error {
	if width < MinWidth || width > MaxWidth || height < MinHeight || height > MaxHeight || width%2 != 0 || height%2 != 0 {
		return fmt.Errorf("test pattern of %d x %d pixels: the size must be even, from %d x %d to %d x %d",
			width, height, MinWidth, MinHeight, MaxWidth, MaxHeight)
	}
	return nil
}

func newPattern(name string, width, height int) *pattern {
	p := &pattern{cols: (width + 15) / 16, rows: (height + 15) / 16, name: name}
	p.blocks = make([]block, p.cols*p.rows)
	return p
}

// draw returns the picture of a moment, valid until the next call: the time code, the machine's name and state, colour bars, and a
// mark that moves one block a frame.
func (p *pattern) draw(code TimeCode, state string) []block {
	for i := range p.blocks {
		p.blocks[i] = background
	}
	cells := code.bytes()
	for cell := range TimeCodeCols * TimeCodeRows {
		at := &p.blocks[cell/TimeCodeCols*p.cols+cell%TimeCodeCols]
		*at = black
		if cells[cell/8]>>(7-cell%8)&1 == 1 {
			*at = white
		}
	}
	p.text(TimeCodeRows+1, p.name, paper)
	p.text(TimeCodeRows+2, state, colour(state))
	for row := TimeCodeRows + 4; row < p.rows-2; row++ {
		for col := range p.cols {
			p.blocks[row*p.cols+col] = bars[col*len(bars)/p.cols]
		}
	}
	// The last row may be cut off.
	p.blocks[(p.rows-2)*p.cols+int(code.Frame)%p.cols] = white
	return p.blocks
}

// text writes a line on a ground of one colour, from the second column on; what does not fit is left out.
func (p *pattern) text(row int, text string, ground block) {
	for col := range p.cols {
		p.blocks[row*p.cols+col] = ground
	}
	col := 1
	for _, r := range text {
		if col >= p.cols-1 {
			return
		}
		p.blocks[row*p.cols+col].glyph = letter(r)
		col++
	}
}

// colour returns the ground of a machine's state.
func colour(state string) block {
	switch state {
	case "running", "":
		return green
	case "fault", "down", "error", "stopped":
		return red
	}
	return amber
}
