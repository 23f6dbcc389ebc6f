package main

import (
	"context"
	"strings"
	"testing"
)

// FuzzInvoke delivers any bytes as an invocation and any bytes as a record: the
// function never asks for redelivery because of a record's content.
func FuzzInvoke(f *testing.F) {
	good := record(f, "gw-1", noon, 2, 2, 2)
	f.Add(payload(good), []byte("rubbish"))
	f.Add(payload(good, nil, good[:len(good)/2]), good)
	f.Add([]byte(`{"Records":[]}`), good[1:])
	h := newHandler(f, nullWriter{}, discardDeadLetters{})
	f.Fuzz(func(t *testing.T, in, data []byte) {
		for _, in := range [][]byte{in, payload(data, good)} {
			response, err := h.Invoke(t.Context(), in)
			if err == nil && !strings.HasPrefix(string(response), `{"batchItemFailures":[]`) {
				t.Errorf("got response %s, want none to retry", response)
			}
		}
	})
}

type discardDeadLetters struct{}

func (discardDeadLetters) Put(context.Context, string, []byte, string) error { return nil }
