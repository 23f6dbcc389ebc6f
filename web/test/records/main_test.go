package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden records")

// TestGolden compares the committed records, which the browser's tests read, with Go's decoder.
func TestGolden(t *testing.T) {
	const path = "testdata/records.jsonl"
	var out bytes.Buffer
	if err := run([]string{"150", "7"}, &out); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("%s is stale: go test ./web/test/records -update", path)
	}
}

// TestBothOutcomes says that the records are a test: many are valid, many are not, and for many reasons.
func TestBothOutcomes(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"3000"}, &out); err != nil {
		t.Fatal(err)
	}
	valid, leftOut, reasons := 0, 0, map[string]bool{}
	for d := json.NewDecoder(&out); ; {
		var r record
		err := d.Decode(&r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Batch == nil {
			reason, _, _ := strings.Cut(strings.TrimPrefix(r.Error, "invalid: record: "), ":")
			reasons[reason] = true
			continue
		}
		valid++
		leftOut += len(r.Batch.Rejected)
	}
	if valid < 1000 || valid > 2500 || leftOut == 0 || len(reasons) < 12 {
		t.Errorf("have %d valid of 3000, %d events left out, reasons %v: the generator is too tame", valid, leftOut, reasons)
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{nil, {"0"}, {"x"}, {"1", "x"}, {"1", "2", "3"}} {
		if err := run(args, io.Discard); err == nil {
			t.Errorf("%q: have no error", args)
		}
	}
}
