package ingest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// padding is the number of zero bytes that follow a body, see parser.buf.
const padding = 2 * word

// maxKeptBytes bounds the memory that a body may leave behind for the next.
const maxKeptBytes = 4 << 20

// bodyReader undoes what lies between a body and the payload that carries it:
// base64, then the content encoding. It is reused.
type bodyReader struct {
	maxBodyBytes     int
	maxInflatedBytes int

	decoded  []byte // from base64
	inflated []byte
	source   bytes.Reader
	gzip     *gzip.Reader // nil before the first gzip body
	zstd     *zstd.Decoder
}

func newBodyReader(maxBodyBytes, maxInflatedBytes int) (*bodyReader, error) {
	z, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1), // no goroutines
		zstd.WithDecoderMaxMemory(uint64(maxInflatedBytes)),
	)
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	return &bodyReader{maxBodyBytes: maxBodyBytes, maxInflatedBytes: maxInflatedBytes, zstd: z}, nil
}

// read returns the body of r, plain. It is valid until the next call; at least
// padding zero bytes follow it in its capacity.
func (b *bodyReader) read(r *request) ([]byte, *bodyError) {
	if cap(b.inflated) > maxKeptBytes {
		b.inflated = nil
	}
	body := r.body
	if r.base64 {
		b.decoded = slices.Grow(b.decoded[:0], base64.StdEncoding.DecodedLen(len(body))+padding)
		n, err := base64.StdEncoding.Decode(b.decoded[:cap(b.decoded)], body)
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "bad-base64", "the body is not base64: %v", err)
		}
		body = b.decoded[:n]
	}
	if len(body) > b.maxBodyBytes {
		return nil, refuse(http.StatusRequestEntityTooLarge, "body-too-large",
			"the body has %d bytes, at most %d are accepted", len(body), b.maxBodyBytes)
	}
	switch encoding := strings.TrimSpace(r.contentEncoding); {
	case encoding == "" || strings.EqualFold(encoding, "identity"):
		return pad(body), nil
	case strings.EqualFold(encoding, "gzip"):
		return b.inflateGzip(body)
	case strings.EqualFold(encoding, "zstd"):
		return b.inflateZstd(body)
	default:
		return nil, refuse(http.StatusUnsupportedMediaType, "unsupported-encoding",
			"content encoding %q: want gzip, zstd or none", clip(encoding))
	}
}

// pad writes padding zero bytes behind body, without counting them in.
func pad(body []byte) []byte {
	body = append(body, make([]byte, padding)...)
	return body[:len(body)-padding]
}

func (b *bodyReader) tooLarge() *bodyError {
	return refuse(http.StatusRequestEntityTooLarge, "inflated-too-large",
		"the body inflates to more than the accepted %d bytes", b.maxInflatedBytes)
}

func (b *bodyReader) inflateGzip(body []byte) ([]byte, *bodyError) {
	b.source.Reset(body)
	var err error
	if b.gzip == nil {
		b.gzip, err = gzip.NewReader(&b.source)
	} else {
		err = b.gzip.Reset(&b.source)
	}
	if err != nil && len(body) > 0 {
		err = io.ErrUnexpectedEOF // a name without an end in the header is io.EOF, too
	}
	const chunk = 64 << 10
	out := b.inflated[:0]
	for err == nil && len(out) <= b.maxInflatedBytes {
		out = slices.Grow(out, min(chunk, b.maxInflatedBytes+1-len(out))+padding)
		room := out[len(out) : cap(out)-padding]
		room = room[:min(len(room), b.maxInflatedBytes+1-len(out))]
		var n int
		n, err = b.gzip.Read(room)
		out = out[:len(out)+n]
	}
	b.inflated = out
	switch {
	case len(out) > b.maxInflatedBytes:
		return nil, b.tooLarge()
	case !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, refuse(http.StatusBadRequest, "bad-gzip", "the body is not whole gzip data")
	default:
		return pad(out), nil
	}
}

func (b *bodyReader) inflateZstd(body []byte) ([]byte, *bodyError) {
	out, err := b.zstd.DecodeAll(body, b.inflated[:0])
	b.inflated = out
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded),
		err == nil && len(out) > b.maxInflatedBytes:
		return nil, b.tooLarge()
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "bad-zstd", "the body is not whole zstd data")
	default:
		out = pad(out)
		b.inflated = out
		return out, nil
	}
}

// form is what a body holds.
type form uint8

const (
	jsonForm form = iota
	recordForm
)

// formOf reads a Content-Type; parameters do not matter, since JSON is UTF-8
// (RFC 8259, section 8.1) and a record has none.
func formOf(contentType string) (form, *bodyError) {
	switch contentType {
	case "application/json":
		return jsonForm, nil
	case "application/x-protobuf":
		return recordForm, nil
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err == nil || errors.Is(err, mime.ErrInvalidMediaParameter) {
		switch mediaType {
		case "application/json":
			return jsonForm, nil
		case "application/x-protobuf":
			return recordForm, nil
		}
	}
	return 0, refuse(http.StatusUnsupportedMediaType, "unsupported-type",
		"content type %q: want application/json or application/x-protobuf", clip(contentType))
}

// clip bounds how much of a client's own text an answer repeats.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxQuoted)], "\uFFFD") }
