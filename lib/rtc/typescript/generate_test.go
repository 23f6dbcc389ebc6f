package main

import (
	"os"
	"testing"
)

// TestProtocolIsCurrent: the committed mirror is what the structs say.
func TestProtocolIsCurrent(t *testing.T) {
	t.Parallel()
	want, err := generate("..")
	if err != nil {
		t.Fatal(err)
	}
	const file = "../../../web/src/rtc/protocol.ts"
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is stale: run go generate ./lib/rtc", file)
	}
}
