package storelog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/loadtest/storelog"
)

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.log")
	read := func(offset int64) (events []int, next int64, err error) {
		next, err = storelog.Read(path, offset, func(l storelog.Line) { events = append(events, l.Events) })
		return events, next, err
	}
	if events, offset, err := read(0); err != nil || offset != 0 || events != nil {
		t.Errorf("no log: got %v, %d, %v", events, offset, err)
	}
	const whole = `{"msg":"stored","events":3,"oldest":1,"committed":2}
not JSON
{"msg":"stored","events":0}
{"msg":"other","events":9}
`
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(whole + `{"msg":"stored","eve`)
	events, offset, err := read(0)
	if diff := cmp.Diff([]int{3}, events); diff != "" || err != nil || offset != int64(len(whole)) {
		t.Errorf("got %v up to %d, error %v; want the whole lines, up to %d", events, offset, err, len(whole))
	}
	write(whole + `{"msg":"stored","events":5,"oldest":1,"committed":2}` + "\n")
	if events, _, err = read(offset); len(events) != 1 || events[0] != 5 || err != nil {
		t.Errorf("got %v, %v; want the line that is complete now", events, err)
	}
	write(`{"msg":"stored","events":5,"oldest":1}` + "\n")
	if _, _, err = read(0); err == nil || !strings.Contains(err.Error(), "without oldest or committed") {
		t.Errorf("got error %v, want one that names the missing time", err)
	}
}
