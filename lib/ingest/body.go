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

// maxReusedBytes bounds the buffer that one request leaves to the next.
const maxReusedBytes = 4 << 20

// bodyReader decodes a body: base64, then the content encoding. It is reused.
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

// read returns the decoded body of r. It is valid until the next call; at least
// padding zero bytes follow it in its capacity.
func (b *bodyReader) read(r *request) ([]byte, *bodyError) {
	if cap(b.inflated) > maxReusedBytes {
		b.inflated = nil
	}
	body := r.body
	if r.base64 {
		b.decoded = slices.Grow(b.decoded[:0], base64.StdEncoding.DecodedLen(len(body))+padding)
		n, err := base64.StdEncoding.Decode(b.decoded[:cap(b.decoded)], body)
		if err != nil {
			return nil, reject(http.StatusBadRequest, "bad-base64", "The body is not valid base64: %v.", err)
		}
		body = b.decoded[:n]
	}
	if len(body) > b.maxBodyBytes {
		return nil, reject(http.StatusRequestEntityTooLarge, "body-too-large",
			"The body has %d bytes; the limit is %d.", len(body), b.maxBodyBytes)
	}
	switch encoding := strings.TrimSpace(r.contentEncoding); {
	case encoding == "" || strings.EqualFold(encoding, "identity"):
		return pad(body), nil
	case strings.EqualFold(encoding, "gzip"):
		return b.inflateGzip(body)
	case strings.EqualFold(encoding, "zstd"):
		return b.inflateZstd(body)
	default:
		return nil, reject(http.StatusUnsupportedMediaType, "unsupported-encoding",
			"Content-Encoding %q is not supported; use gzip, zstd or none.", clip(encoding))
	}
}

// pad appends padding zero bytes that the length of the result does not include.
func pad(body []byte) []byte {
	body = append(body, make([]byte, padding)...)
	return body[:len(body)-padding]
}

func (b *bodyReader) tooLarge() *bodyError {
	return reject(http.StatusRequestEntityTooLarge, "inflated-too-large",
		"The decompressed body has more than %d bytes, which is the limit.", b.maxInflatedBytes)
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
		err = io.ErrUnexpectedEOF // an unterminated name in the header is io.EOF as well
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
		return nil, reject(http.StatusBadRequest, "bad-gzip", "The body is not valid gzip data, or it is truncated.")
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
		return nil, reject(http.StatusBadRequest, "bad-zstd", "The body is not valid zstd data, or it is truncated.")
	default:
		out = pad(out)
		b.inflated = out
		return out, nil
	}
}

// form is the format of a body.
type form uint8

const (
	jsonForm form = iota
	recordForm
)

// formOf reads a Content-Type. It ignores parameters: JSON is UTF-8 (RFC 8259, section
// 8.1), and a record has none.
func formOf(contentType string) (form, *bodyError) {
	switch contentType {
	case "application/json":
		return jsonForm, nil
	case "application/x-protobuf":
		return recordForm, nil
	}
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if charset, ok := parameters["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return 0, reject(http.StatusUnsupportedMediaType, "unsupported-type", "The charset of Content-Type must be utf-8, or missing.")
	}
	if err == nil {
		switch mediaType {
		case "application/json":
			return jsonForm, nil
		case "application/x-protobuf":
			return recordForm, nil
		}
	}
	return 0, reject(http.StatusUnsupportedMediaType, "unsupported-type",
		"Content-Type %q is not supported; use application/json or application/x-protobuf.", clip(contentType))
}

// clip bounds how much of a client's own text a response repeats.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxQuoted)], "\uFFFD") }
