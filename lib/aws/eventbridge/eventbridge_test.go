package eventbridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// fake responds to each entry with the error code that reject returns for its detail, or "".
type fake struct {
	reject func(call int, detail string) string
	err    error
	sizes  []int
	taken  []string
}

func (f *fake) PutEvents(
	_ context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options),
) (*eventbridge.PutEventsOutput, error) {
	if f.err != nil {
		return nil, f.err
	}
	out := &eventbridge.PutEventsOutput{}
	f.sizes = append(f.sizes, len(in.Entries))
	for _, e := range in.Entries {
		code := ""
		if f.reject != nil {
			code = f.reject(len(f.sizes), *e.Detail)
		}
		if code != "" {
			out.FailedEntryCount++
			out.Entries = append(out.Entries, types.PutEventsResultEntry{ErrorCode: aws.String(code)})
			continue
		}
		f.taken = append(f.taken, *e.Detail)
		out.Entries = append(out.Entries, types.PutEventsResultEntry{EventId: aws.String("1")})
	}
	return out, nil
}

func open(t *testing.T, f *fake) *Bus {
	t.Helper()
	b, err := New(Config{Client: f, Name: "bus", Source: "insighthub.test", Pause: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func events(n, size int) []Event {
	out := make([]Event, n)
	for i := range out {
		detail := append(fmt.Appendf(nil, "%d ", i), bytes.Repeat([]byte{' '}, size)...)
		out[i] = Event{Type: "t", Time: time.Unix(int64(i), 0), Detail: detail}
	}
	return out
}

func TestCallsStayWithinTheLimits(t *testing.T) {
	for _, c := range []struct {
		n, size int
		want    string
	}{
		{0, 0, "[]"}, {1, 0, "[1]"}, {23, 0, "[10 10 3]"}, {5, 100_000, "[2 2 1]"},
	} {
		f := &fake{}
		if taken, err := open(t, f).Put(t.Context(), events(c.n, c.size)); taken != c.n || err != nil || fmt.Sprint(f.sizes) != c.want {
			t.Errorf("%d events of %d bytes: got calls of %v, %d accepted, %v; want %s", c.n, c.size, f.sizes, taken, err, c.want)
		}
	}
}

func TestOnlyRejectedEntriesAreRetried(t *testing.T) {
	f := &fake{reject: func(call int, detail string) string {
		if call == 1 && detail[0] == '1' {
			return "ThrottlingException"
		}
		return ""
	}}
	accepted, err := open(t, f).Put(t.Context(), events(3, 0))
	if accepted != 3 || err != nil || fmt.Sprint(f.sizes) != "[3 1]" || len(f.taken) != 3 {
		t.Errorf("got %d accepted, %v, calls of %v; want 3 in calls of 3 and 1", accepted, err, f.sizes)
	}
}

func TestErrorsOfEntries(t *testing.T) {
	for name, c := range map[string]struct {
		fake  fake
		want  error
		taken int
		calls string
	}{
		"busy for long": {fake{reject: func(_ int, d string) string {
			if d[0] == '0' {
				return "InternalFailure"
			}
			return ""
		}}, telemetry.ErrUnavailable, 1, "[2 1 1]"},
		"malformed": {fake{reject: func(int, string) string { return "MalformedDetail" }}, telemetry.ErrInvalid, 0, "[2]"},
		"no route":  {fake{err: errors.New("no route")}, telemetry.ErrUnavailable, 0, "[]"},
	} {
		taken, err := open(t, &c.fake).Put(t.Context(), events(2, 0))
		if taken != c.taken || !errors.Is(err, c.want) || fmt.Sprint(c.fake.sizes) != c.calls {
			t.Errorf("%s: got %d accepted, %v, calls of %v", name, taken, err, c.fake.sizes)
		}
	}
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &fake{reject: func(int, string) string { cancel(); return "ThrottlingException" }}
	b, err := New(Config{Client: f, Name: "bus", Source: "s", Pause: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if taken, err := b.Put(ctx, events(30, 0)); taken != 0 || err == nil || len(f.sizes) != 1 {
		t.Errorf("got %d accepted, %v, %d calls", taken, err, len(f.sizes))
	}
}

func TestOneAttempt(t *testing.T) {
	f := &fake{reject: func(int, string) string { return "ThrottlingException" }}
	b, err := New(Config{Client: f, Name: "bus", Source: "s", Pause: time.Hour, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	if taken, err := b.Put(t.Context(), events(1, 0)); taken != 0 || !errors.Is(err, telemetry.ErrUnavailable) || len(f.sizes) != 1 {
		t.Errorf("got %d accepted, %v, %d calls", taken, err, len(f.sizes))
	}
}

func TestNewNeedsNameAndSource(t *testing.T) {
	if _, err := New(Config{}); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}
