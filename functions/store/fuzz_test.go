package main

import (
	"context"
	"strings"
	"testing"
)

// FuzzInvoke delivers any bytes as an invocation and any bytes as a record: the
// function answers or fails, and never asks for a record again that nothing but
// its content is wrong with.
func FuzzInvoke(f *testing.F) {
	good := record(f, "gw-1", noon, 2, 2, 2)
	f.Add(payload(good), []byte("rubbish"))
	f.Add(payload(good, nil, good[:len(good)/2]), good)
	f.Add([]byte(`{"Records":[]}`), good[1:])
	h := newHandler(f, nullWriter{}, noLetters{})
	f.Fuzz(func(t *testing.T, in, data []byte) {
		for _, in := range [][]byte{in, payload(data, good)} {
			answer, err := h.Invoke(t.Context(), in)
			if err == nil && !strings.HasPrefix(string(answer), `{"batchItemFailures":[]`) {
				t.Errorf("answer %s, want none to retry", answer)
			}
		}
	})
}

type noLetters struct{}

func (noLetters) Put(context.Context, string, []byte, string) error { return nil }
