package file_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/gateway/testpattern"
	"github.com/insighthub/insighthub/lib/gateway/video"
	"github.com/insighthub/insighthub/lib/gateway/video/file"
)

// record makes frames of the test pattern.
func record(t *testing.T, n int) []*video.Frame {
	t.Helper()
	source, err := testpattern.NewSource(testpattern.Config{Name: "x", Width: 320, Height: 240})
	if err != nil {
		t.Fatal(err)
	}
	var frames []*video.Frame
	ctx, cancel := context.WithCancel(t.Context())
	_ = source.Run(ctx, func(f *video.Frame) {
		if frames = append(frames, f); len(frames) == n {
			cancel()
		}
		if len(frames) == n/2 {
			source.RequestKeyFrame()
		}
	})
	return frames[:n]
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ivf makes a file of frames with 30 to the second.
func ivf(fourCC string, frames ...[]byte) []byte {
	b := []byte("DKIF\x00\x00\x20\x00" + fourCC + "\x40\x01\xf0\x00")
	b = binary.LittleEndian.AppendUint32(b, 30)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frames)))
	b = append(b, 0, 0, 0, 0)
	for i, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
		b = binary.LittleEndian.AppendUint64(b, uint64(i))
		b = append(b, f...)
	}
	return b
}

// play runs a source under virtual time and returns its frames and when they came.
func play(t *testing.T, c file.Config, stopAfter int) (frames []*video.Frame, at []time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, e := file.New(c)
		if e != nil {
			err = e
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		start := time.Now()
		err = s.Run(ctx, func(f *video.Frame) {
			frames, at = append(frames, f), append(at, time.Since(start))
			if len(frames) == stopAfter {
				cancel()
			}
		})
	})
	return frames, at, err
}

func units(frames []*video.Frame) [][][]byte {
	var list [][][]byte
	for _, f := range frames {
		list = append(list, f.Units)
	}
	return list
}

func TestH264FileIsPlayedAtItsSpeed(t *testing.T) {
	t.Parallel()
	recorded := record(t, 20)
	var stream bytes.Buffer
	for _, f := range recorded {
		stream.WriteString("\x00\x00\x00\x01\x09\xf0") // a delimiter, which is left out
		for i, u := range f.Units {
			if f.Key && i == len(f.Units)-1 {
				stream.WriteString("\x00\x00\x00\x01\x06\x05\x01\xaa\x80") // SEI, which is kept
			}
			stream.WriteString([]string{"\x00\x00\x00\x01", "\x00\x00\x01"}[i%2])
			stream.Write(u)
		}
	}
	got, at, err := play(t, file.Config{Name: "x", Path: write(t, "x.h264", stream.Bytes()), FPS: 20}, 50)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var want [][][]byte
	for i := range 50 { // it starts over
		f := recorded[i%20]
		u := f.Units
		if f.Key {
			u = [][]byte{u[0], u[1], {0x06, 0x05, 0x01, 0xaa, 0x80}, u[2]}
		}
		want = append(want, u)
	}
	if diff := cmp.Diff(want, units(got)); diff != "" {
		t.Fatal(diff)
	}
	for i, d := range at {
		if d != time.Duration(i)*50*time.Millisecond {
			t.Fatalf("frame %d came after %v", i, d)
		}
	}
}

func TestIVFFile(t *testing.T) {
	t.Parallel()
	key := []byte{0x10, 2, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xf0, 0}
	frames := [][]byte{key, {0x11, 2, 0, 1}, {0x11, 2, 0, 2}}
	got, at, err := play(t, file.Config{Name: "x", Path: write(t, "x.ivf", ivf("VP80", frames...)), Once: true}, -1)
	if !errors.Is(err, file.ErrEnd) {
		t.Errorf("error %v, want %v", err, file.ErrEnd)
	}
	if diff := cmp.Diff([][][]byte{{frames[0]}, {frames[1]}, {frames[2]}}, units(got)); diff != "" {
		t.Error(diff)
	}
	if !got[0].Key || got[1].Key || at[2] != 2*time.Second/30 {
		t.Errorf("key %v %v, the third after %v", got[0].Key, got[1].Key, at[2])
	}
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config file.Config
		want   string
	}{
		"no name":     {file.Config{Path: "x.ivf"}, "name is empty"},
		"ending":      {file.Config{Name: "x", Path: "x.mp4"}, "want .h264, .264 or .ivf"},
		"speed":       {file.Config{Name: "x", Path: "x.ivf", FPS: 1000}, "want 1 to 120"},
		"no file":     {file.Config{Name: "x", Path: "nowhere/x.ivf"}, "no such file"},
		"codec":       {file.Config{Name: "x", Path: write(t, "x.ivf", ivf("VP90"))}, `"VP90", want VP80`},
		"no picture":  {file.Config{Name: "x", Path: write(t, "y.ivf", ivf("VP80"))}, "holds no picture"},
		"not IVF":     {file.Config{Name: "x", Path: write(t, "z.ivf", []byte("RIFF"))}, "z.ivf"},
		"cut IVF":     {file.Config{Name: "x", Path: write(t, "c.ivf", ivf("VP80", make([]byte, 100))[:60])}, "c.ivf"},
		"not H.264":   {file.Config{Name: "x", Path: write(t, "x.h264", []byte("hello world"))}, "x.h264"},
		"empty H.264": {file.Config{Name: "x", Path: write(t, "e.h264", nil)}, "e.h264"},
	} {
		frames, _, err := play(t, c.config, -1)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(frames) > 0 {
			t.Errorf("%s: %d frames, error %v, want one with %q", name, len(frames), err, c.want)
		}
	}
}
