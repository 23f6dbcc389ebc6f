package trail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

const (
	// blockBytes is how much text one worker verifies at a time.
	blockBytes = 1 << 20
	// maxBlockBytes limits a block, which has at least one line.
	maxBlockBytes = maxLineBytes + blockBytes
)

// VerifyLines verifies the entries of r, one per line, as ReadLines does with v.Next, on all
// processors: each entry holds the hash of the one before, so that parts of the chain are
// verified on their own, and then that each follows the part before. The error is the same.
func VerifyLines(r io.Reader, v *Verifier) error {
	stop := make(chan struct{})
	workers := runtime.GOMAXPROCS(0)
	blocks, ordered := make(chan *block, workers), make(chan *block, 2*workers)
	var reading error
	var all sync.WaitGroup
	all.Go(func() {
		defer close(ordered)
		defer close(blocks)
		reading = eachBlock(r, func(text []byte) bool {
			b := &block{text: text, done: make(chan struct{})}
			for _, to := range []chan<- *block{ordered, blocks} {
				select {
				case to <- b:
				case <-stop:
					return false
				}
			}
			return true
		})
	})
	for range workers {
		all.Go(func() {
			for b := range blocks {
				b.verify(v.Anchors)
				close(b.done)
			}
		})
	}
	err := combine(ordered, v)
	close(stop)
	all.Wait()
	if err == nil && reading != nil {
		return fmt.Errorf("audit trail: read: %w", reading)
	}
	return err
}

// combine verifies that each block follows the one before.
func combine(ordered <-chan *block, v *Verifier) error {
	lines := 0
	for b := range ordered {
		<-b.done
		if b.entries > 0 || errors.As(b.err, new(*BrokenError)) {
			if err := v.follows(b.first, b.previous); err != nil {
				return err
			}
		}
		if b.err != nil {
			if _, broken := errors.AsType[*BrokenError](b.err); broken {
				return b.err
			}
			return fmt.Errorf("line %d: %w", lines+b.lines, b.err)
		}
		lines += b.lines
		if b.entries > 0 {
			v.StartAfter(b.last, b.hash)
		}
	}
	return nil
}

// block is some whole lines, and the part of the chain that they are.
type block struct {
	text []byte
	done chan struct{}

	lines, entries int // read, and verified
	first, last    int64
	previous, hash Hash
	err            error
}

// verify verifies the lines until the first error.
func (b *block) verify(anchors map[int64]Hash) {
	within := Verifier{Anchors: anchors}
	var f fields
	var memory []byte
	var digest Hash
	for text := range bytes.Lines(b.text) {
		b.lines++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		f.next()
		if b.err = f.parse(text); b.err != nil {
			return
		}
		if b.entries == 0 {
			b.first, b.previous = f.seq, f.previous
			within.StartAfter(f.seq-1, f.previous)
		}
		if b.err = within.follows(f.seq, f.previous); b.err != nil {
			return
		}
		if digest, memory = f.digest(memory); digest != f.hash {
			b.err = changed(f.seq)
			return
		}
		if b.err = within.anchored(f.seq, f.hash); b.err != nil {
			return
		}
		within.StartAfter(f.seq, f.hash)
		b.entries++
		b.last, b.hash = f.seq, f.hash
	}
}

// eachBlock calls each with blocks of whole lines until it returns false.
func eachBlock(r io.Reader, each func([]byte) bool) error {
	var rest []byte
	for {
		buffer := make([]byte, len(rest), max(blockBytes, 2*len(rest)))
		copy(buffer, rest)
		n, err := io.ReadFull(r, buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		if err != nil { // the end, or a failure: what was read before it is verified
			if len(buffer) > 0 && !each(buffer) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return err
		}
		end := bytes.LastIndexByte(buffer, '\n') + 1
		if end == 0 && len(buffer) > maxBlockBytes {
			return fmt.Errorf("a line is longer than %d bytes", maxLineBytes)
		}
		rest = buffer[end:]
		if end > 0 && !each(buffer[:end:end]) {
			return nil
		}
	}
}
