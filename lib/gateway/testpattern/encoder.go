package testpattern

// The quantizers are chosen so that a level of a flat macroblock is the difference in pixel values itself:
// at 28 a luma level of 1 decodes to 1 in all 256 pixels, and chroma, 6 below it, likewise.
const (
	quantizer    = 28
	chromaOffset = -6
	frameNumBits = 8
)

// block is one macroblock of a picture: one colour, or a glyph of black on it.
type block struct {
	y, cb, cr uint8
	glyph     byte // 0 = flat
}

// The headers of the NAL units: nal_ref_idc and nal_unit_type (table 7-1).
const (
	headerSPS        = 3<<5 | 7
	headerPPS        = 3<<5 | 8
	headerIDR        = 3<<5 | 5
	headerReference  = 2<<5 | 1
	headerDisposable = 1
)

// encoder writes pictures of blocks as H.264 (ITU-T H.264, constrained baseline profile, CAVLC, one slice a picture).
// An IDR picture codes every macroblock, the others only those that differ from the reference picture.
// Every second picture after an IDR picture is no reference: it can be dropped on the way and the rest still decodes.
type encoder struct {
	cols, rows int
	sps, pps   []byte
	reference  []block // the last reference picture
	frameNum   uint32  // of the last reference picture
	idrID      uint32
	odd        bool // the next picture is disposable
	bits       bitWriter
}

func newEncoder(width, height int) *encoder {
	e := &encoder{cols: (width + 15) / 16, rows: (height + 15) / 16}
	e.sps = e.sequence(width, height)
	e.pps = e.picture()
	return e
}

// sequence returns the sequence parameter set (section 7.3.2.1).
func (e *encoder) sequence(width, height int) []byte {
	var w bitWriter
	w.put(66, 8)   // profile_idc: baseline
	w.put(0xE0, 8) // constraint_set0..2: constrained baseline
	w.put(31, 8)   // level 3.1
	w.unsigned(0)  // seq_parameter_set_id
	w.unsigned(frameNumBits - 4)
	w.unsigned(2) // pic_order_cnt_type: output in the order of decoding
	w.unsigned(1) // max_num_ref_frames
	w.flag(false) // gaps_in_frame_num_value_allowed
	w.unsigned(uint32(e.cols - 1))
	w.unsigned(uint32(e.rows - 1))
	w.flag(true) // frame_mbs_only
	w.flag(true) // direct_8x8_inference
	right, bottom := e.cols*16-width, e.rows*16-height
	w.flag(right+bottom > 0)
	if right+bottom > 0 {
		w.unsigned(0)
		w.unsigned(uint32(right / 2))
		w.unsigned(0)
		w.unsigned(uint32(bottom / 2))
	}
	w.flag(true)  // vui_parameters_present
	w.flag(false) // aspect_ratio_info
	w.flag(false) // overscan_info
	w.flag(false) // video_signal_type
	w.flag(false) // chroma_loc_info
	w.flag(false) // timing_info
	w.flag(false) // nal_hrd_parameters
	w.flag(false) // vcl_hrd_parameters
	w.flag(false) // pic_struct
	w.flag(true)  // bitstream_restriction: without it a decoder may hold pictures back
	w.flag(true)  // motion_vectors_over_pic_boundaries
	w.unsigned(0) // max_bytes_per_pic_denom: no limit
	w.unsigned(0) // max_bits_per_mb_denom: no limit
	w.unsigned(0) // log2_max_mv_length_horizontal
	w.unsigned(0) // log2_max_mv_length_vertical
	w.unsigned(0) // max_num_reorder_frames
	w.unsigned(1) // max_dec_frame_buffering
	w.trail()
	return nal(headerSPS, w.bytes)
}

// picture returns the picture parameter set (section 7.3.2.2).
func (e *encoder) picture() []byte {
	var w bitWriter
	w.unsigned(0) // pic_parameter_set_id
	w.unsigned(0) // seq_parameter_set_id
	w.flag(false) // entropy_coding_mode: CAVLC
	w.flag(false) // bottom_field_pic_order
	w.unsigned(0) // num_slice_groups_minus1
	w.unsigned(0) // num_ref_idx_l0_default_active_minus1
	w.unsigned(0) // num_ref_idx_l1_default_active_minus1
	w.flag(false) // weighted_pred
	w.put(0, 2)   // weighted_bipred_idc
	w.signed(quantizer - 26)
	w.signed(0) // pic_init_qs
	w.signed(chromaOffset)
	w.flag(true)  // deblocking_filter_control_present: the slices switch the filter off
	w.flag(false) // constrained_intra_pred
	w.flag(false) // redundant_pic_cnt_present
	w.trail()
	return nal(headerPPS, w.bytes)
}

// encode returns the NAL units of the picture: the parameter sets and an IDR picture if key is set or there is no reference, else one
// slice; and whether nothing will refer to it. The blocks are copied. The units are fresh: the caller may share them.
func (e *encoder) encode(blocks []block, key bool) (units [][]byte, isKey, disposable bool) {
	if key || e.reference == nil {
		e.idrID ^= 1 // two IDR pictures that follow each other differ in it
		e.frameNum = 0
		e.odd = true
		e.reference = append(e.reference[:0], blocks...)
		return [][]byte{e.sps, e.pps, e.intra(blocks)}, true, false
	}
	disposable = e.odd
	e.odd = !e.odd
	unit := e.inter(blocks, disposable)
	if !disposable {
		e.frameNum = (e.frameNum + 1) % (1 << frameNumBits)
		copy(e.reference, blocks)
	}
	return [][]byte{unit}, false, disposable
}

// intra returns the slice of an IDR picture.
func (e *encoder) intra(blocks []block) []byte {
	w := e.reset()
	w.unsigned(0) // first_mb_in_slice
	w.unsigned(7) // slice_type: I
	w.unsigned(0) // pic_parameter_set_id
	w.put(0, frameNumBits)
	w.unsigned(e.idrID)
	w.flag(false) // no_output_of_prior_pics
	w.flag(false) // long_term_reference
	w.signed(0)   // slice_qp_delta
	w.unsigned(1) // disable_deblocking_filter_idc
	for i := range blocks {
		e.macroblock(w, blocks, i, 0, nil)
	}
	w.trail()
	return nal(headerIDR, w.bytes)
}

// inter returns the slice of a picture that skips what is as in the reference.
func (e *encoder) inter(blocks []block, disposable bool) []byte {
	w := e.reset()
	w.unsigned(0) // first_mb_in_slice
	w.unsigned(5) // slice_type: P
	w.unsigned(0) // pic_parameter_set_id
	w.put((e.frameNum+1)%(1<<frameNumBits), frameNumBits)
	w.flag(false) // num_ref_idx_active_override
	w.flag(false) // ref_pic_list_modification_l0
	if !disposable {
		w.flag(false) // adaptive_ref_pic_marking_mode
	}
	w.signed(0)   // slice_qp_delta
	w.unsigned(1) // disable_deblocking_filter_idc
	skipped := uint32(0)
	for i := range blocks {
		if blocks[i] == e.reference[i] {
			skipped++
			continue
		}
		w.unsigned(skipped)
		skipped = 0
		e.macroblock(w, blocks, i, 5, e.reference)
	}
	if skipped > 0 {
		w.unsigned(skipped)
	}
	w.trail()
	if disposable {
		return nal(headerDisposable, w.bytes)
	}
	return nal(headerReference, w.bytes)
}

func (e *encoder) reset() *bitWriter {
	e.bits = bitWriter{bytes: e.bits.bytes[:0]}
	return &e.bits
}

// macroblock writes block i as intra; typeOffset is that of mb_type in the slice's type (0 in I, 5 in P slices). A block that equals its
// place in skipped is not coded here, so its neighbours count no coefficients in it; nil if nothing is skipped.
func (e *encoder) macroblock(w *bitWriter, blocks []block, i int, typeOffset uint32, skipped []block) {
	b := blocks[i]
	if b.glyph != 0 {
		w.unsigned(typeOffset + 25) // I_PCM
		w.align()
		w.bytes = appendGlyph(w.bytes, b)
		return
	}
	var left, above *block
	context, neighbours := 0, 0
	neighbour := func(j int) *block {
		neighbours++
		if blocks[j].glyph != 0 && (skipped == nil || skipped[j] != blocks[j]) {
			context += 16
		}
		return &blocks[j]
	}
	if i%e.cols > 0 {
		left = neighbour(i - 1)
	}
	if i >= e.cols {
		above = neighbour(i - e.cols)
	}
	if neighbours == 2 {
		context = (context + 1) / 2
	}
	luma, cb, cr, mode := predict(left, above)
	dy, db, dr := int(b.y)-luma, int(b.cb)-cb, int(b.cr)-cr
	chroma := uint32(0)
	if db != 0 || dr != 0 {
		chroma = 1
	}
	w.unsigned(typeOffset + 1 + 2 + 4*chroma) // I_16x16, DC prediction, chroma DC or none, no luma AC
	w.unsigned(mode)                          // intra_chroma_pred_mode
	w.signed(0)                               // mb_qp_delta
	lumaTokens, chromaTokens := lowTokens, dcTokens
	if context >= 8 {
		lumaTokens = highTokens
	}
	coefficient(w, lumaTokens, dy)
	if chroma != 0 {
		coefficient(w, chromaTokens, db)
		coefficient(w, chromaTokens, dr)
	}
}

// predict returns what a decoder predicts for a flat macroblock from its neighbours (nil: outside the picture), whose last rows and
// columns are of one colour, glyphs' too: luma by DC, chroma by the returned intra_chroma_pred_mode (section 8.3).
func predict(left, above *block) (luma, cb, cr int, mode uint32) {
	switch {
	case left != nil && above != nil:
		return (int(left.y) + int(above.y) + 1) / 2, int(left.cb), int(left.cr), 1
	case left != nil:
		return int(left.y), int(left.cb), int(left.cr), 1
	case above != nil:
		return int(above.y), int(above.cb), int(above.cr), 2
	}
	return 128, 128, 128, 0
}

// token is a code of coeff_token (table 9-5).
type token struct {
	code uint32
	bits uint
}

// tokens are the codes for no coefficient, one of a magnitude above 1, one of magnitude 1.
type tokens [3]token

//nolint:gochecknoglobals // a table of the standard
var (
	lowTokens  = tokens{{1, 1}, {5, 6}, {1, 2}} // 0 <= nC < 2
	highTokens = tokens{{3, 6}, {0, 6}, {1, 6}} // 8 <= nC
	dcTokens   = tokens{{1, 2}, {7, 6}, {1, 1}} // nC = -1, chroma DC
)

// coefficient writes a block of at most one coefficient, the first (section 7.3.5.3.2).
func coefficient(w *bitWriter, t tokens, level int) {
	switch level {
	case 0:
		w.put(t[0].code, t[0].bits)
		return
	case 1, -1:
		w.put(t[2].code, t[2].bits)
		w.flag(level < 0) // trailing_ones_sign
	default:
		w.put(t[1].code, t[1].bits)
		// A first level without trailing ones is at least 2 in magnitude, hence the 2 less.
		code := uint32(2*max(level, -level) - 2 - 2)
		if level < 0 {
			code++
		}
		switch {
		case code < 14:
			w.put(1, uint(code)+1)
		case code < 30:
			w.put(1, 15)
			w.put(code-14, 4)
		default:
			w.put(1, 16)
			w.put(code-30, 12)
		}
	}
	w.put(1, 1) // total_zeros: none
}
