package kinesis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const throughputExceeded = "ProvisionedThroughputExceededException"

// stream is a client of a stream that rejects records as reject says. It records the time
// of each call since its start, and the data of the records.
type stream struct {
	started time.Time
	reject  func(call int, in *sdk.PutRecordsInput) ([]string, error) // an error code for each record, or ""
	calls   [][]string
	at      []time.Duration
	stored  []string
}

func (s *stream) PutRecords(ctx context.Context, in *sdk.PutRecordsInput, _ ...func(*sdk.Options)) (*sdk.PutRecordsOutput, error) {
	call := len(s.calls)
	var data []string
	for _, r := range in.Records {
		data = append(data, string(r.Data))
	}
	s.calls, s.at = append(s.calls, data), append(s.at, time.Since(s.started))
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	codes := make([]string, len(in.Records))
	if s.reject != nil {
		rejected, err := s.reject(call, in)
		if err != nil {
			return nil, err
		}
		copy(codes, rejected)
	}
	out := &sdk.PutRecordsOutput{}
	for i, code := range codes {
		var entry types.PutRecordsResultEntry
		if code == "" {
			entry.SequenceNumber, entry.ShardId = aws.String(fmt.Sprint(len(s.stored))), aws.String("shardId-000000000000")
			s.stored = append(s.stored, data[i])
		} else {
			entry.ErrorCode, entry.ErrorMessage = aws.String(code), aws.String("for a test")
		}
		out.Records = append(out.Records, entry)
	}
	return out, nil
}

func newProducer(t *testing.T, s *stream, change func(*kinesis.Config)) *kinesis.Producer {
	t.Helper()
	s.started = time.Now()
	cfg := kinesis.Config{
		Client: s, Stream: "telemetry", Now: time.Now,
		Rand:        func() float64 { return 0.5 },
		BackoffBase: 100 * time.Millisecond, BackoffCap: time.Second, Margin: 50 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	p, err := kinesis.NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// named returns records whose data are their names.
func named(names ...string) []kinesis.Record {
	var records []kinesis.Record
	for _, n := range names {
		records = append(records, kinesis.Record{PartitionKey: "gw-1", Data: []byte(n)})
	}
	return records
}

func TestPutRetriesOnlyRejectedRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{reject: func(call int, _ *sdk.PutRecordsInput) ([]string, error) {
			switch call {
			case 0:
				return []string{"", throughputExceeded, "", "InternalFailure"}, nil
			case 1:
				return []string{"", throughputExceeded}, nil
			default:
				return nil, nil
			}
		}}
		records := named("a", "b", "c", "d")
		if err := newProducer(t, s, nil).Put(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([][]string{{"a", "b", "c", "d"}, {"b", "d"}, {"d"}}, s.calls); diff != "" {
			t.Error(diff)
		}
		// Half of 100 ms, then half of 200 ms.
		if diff := cmp.Diff([]time.Duration{0, 50 * time.Millisecond, 150 * time.Millisecond}, s.at); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(named("a", "b", "c", "d"), records); diff != "" {
			t.Errorf("the caller's records changed: %s", diff)
		}
	})
}

func TestPutEndsBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{reject: func(_ int, in *sdk.PutRecordsInput) ([]string, error) {
			codes := make([]string, len(in.Records))
			codes[len(codes)-1] = throughputExceeded
			return codes, nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := newProducer(t, s, nil).Put(ctx, named("a", "b", "c"))

		put, ok := errors.AsType[*kinesis.PutError](err)
		if !ok || !errors.Is(err, telemetry.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		if put.Failed != 1 || put.Total != 3 || !put.Throttled || put.RetryAfter() != time.Second {
			t.Errorf("got %+v", put)
		}
		for _, want := range []string{"1 of 3", throughputExceeded, `"telemetry"`} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got %q, want it to contain %s", err, want)
			}
		}
		// Waits of 50, 100, 200, 400 ms; the next of 500 would pass the deadline less the margin.
		if elapsed := time.Since(s.started); elapsed != 750*time.Millisecond {
			t.Errorf("ended after %v, want 750ms", elapsed)
		}
	})
}

func TestPutLeavesTheMargin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging := clientFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		p := newProducer(t, &stream{}, func(c *kinesis.Config) { c.Client = hanging })
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := p.Put(ctx, named("a"))
		if !errors.Is(err, telemetry.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if elapsed := time.Since(start); elapsed != 950*time.Millisecond {
			t.Errorf("ended after %v, want 950ms: a margin of 50ms", elapsed)
		}
	})
}

func TestPutRetriesAfterTheAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{}
		first := true
		p := newProducer(t, s, func(c *kinesis.Config) {
			c.AttemptTimeout = 300 * time.Millisecond
			c.Client = clientFunc(func(ctx context.Context) error {
				if first {
					first = false
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			})
		})
		if err := p.Put(t.Context(), named("a")); err != nil {
			t.Fatal(err)
		}
		if elapsed := time.Since(s.started); elapsed != 350*time.Millisecond {
			t.Errorf("ended after %v, want 300ms and a wait of 50ms", elapsed)
		}
	})
}

// clientFunc is a client that stores every record unless the function fails.
type clientFunc func(context.Context) error

func (f clientFunc) PutRecords(ctx context.Context, in *sdk.PutRecordsInput, _ ...func(*sdk.Options)) (*sdk.PutRecordsOutput, error) {
	if err := f(ctx); err != nil {
		return nil, err
	}
	return &sdk.PutRecordsOutput{Records: make([]types.PutRecordsResultEntry, len(in.Records))}, nil
}

func TestPutErrorsOfTheCall(t *testing.T) {
	api := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "for a test"} }
	status := func(code int, err error) error {
		return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code}}, Err: err,
		}}
	}
	for name, tc := range map[string]struct {
		err              error
		retry, throttled bool
	}{
		"network":             {err: &net.OpError{Op: "read", Err: net.ErrClosed}, retry: true},
		"timeout of the call": {err: context.DeadlineExceeded, retry: true},
		"500":                 {err: status(500, api("InternalFailure")), retry: true},
		"503 without a code":  {err: status(503, errors.New("not JSON")), retry: true},
		"broken response":     {err: status(200, errors.New("unexpected end")), retry: true},
		"throttled":           {err: status(400, &types.ProvisionedThroughputExceededException{}), retry: true, throttled: true},
		"key service":         {err: status(400, &types.KMSThrottlingException{}), retry: true, throttled: true},
		"429":                 {err: status(429, errors.New("too many")), retry: true, throttled: true},
		"validation":          {err: status(400, api("ValidationException"))},
		"no such stream":      {err: status(400, &types.ResourceNotFoundException{})},
		"access denied":       {err: status(403, api("AccessDeniedException"))},
		"not serialised":      {err: &smithy.SerializationError{Err: errors.New("for a test")}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stream{reject: func(int, *sdk.PutRecordsInput) ([]string, error) {
					return nil, fmt.Errorf("operation error: %w", tc.err)
				}}
				p := newProducer(t, s, func(c *kinesis.Config) { c.MaxAttempts = 3 })
				err := p.Put(t.Context(), named("a", "b"))
				wantCalls := 1
				if tc.retry {
					wantCalls = 3
				}
				if len(s.calls) != wantCalls {
					t.Errorf("got %d calls, want %d", len(s.calls), wantCalls)
				}
				if errors.Is(err, telemetry.ErrUnavailable) != tc.retry || !errors.Is(err, tc.err) ||
					!strings.Contains(err.Error(), "2 of 2") {
					t.Errorf("got %v", err)
				}
				if put, ok := errors.AsType[*kinesis.PutError](err); ok && put.Throttled != tc.throttled {
					t.Errorf("Throttled: got %t, want %t", put.Throttled, tc.throttled)
				}
			})
		})
	}
}

func TestPutSplitsCalls(t *testing.T) {
	sizes := func(n, size int) []kinesis.Record {
		records := make([]kinesis.Record, n)
		for i := range records {
			records[i] = kinesis.Record{PartitionKey: "key!", Data: make([]byte, size-4)}
		}
		return records
	}
	for name, tc := range map[string]struct {
		records []kinesis.Record
		want    []int
	}{
		"none":                 {nil, nil},
		"an empty one":         {sizes(1, 4), []int{1}},
		"as many as fit":       {sizes(500, 8), []int{500}},
		"one more":             {sizes(501, 8), []int{500, 1}},
		"many":                 {sizes(1203, 8), []int{500, 500, 203}},
		"the largest":          {sizes(6, 1<<20), []int{5, 1}},
		"over by a byte":       {append(sizes(5, 1<<20), sizes(1, 5)...), []int{5, 1}},
		"exactly 5 MiB by key": {sizes(10, 512<<10), []int{10}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stream{}
			if err := newProducer(t, s, nil).Put(t.Context(), tc.records); err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, c := range s.calls {
				got = append(got, len(c))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPutCountsRecordsOfLaterCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{reject: func(call int, in *sdk.PutRecordsInput) ([]string, error) {
			if call == 0 {
				return nil, nil
			}
			codes := make([]string, len(in.Records))
			codes[0] = "InternalFailure"
			return codes, nil
		}}
		names := make([]string, 1200)
		for i := range names {
			names[i] = fmt.Sprint(i)
		}
		err := newProducer(t, s, func(c *kinesis.Config) { c.MaxAttempts = 2 }).Put(t.Context(), named(names...))
		put, ok := errors.AsType[*kinesis.PutError](err)
		if !ok || put.Failed != 1+200 || put.Total != 1200 || put.Throttled || put.RetryAfter() != 5*time.Second {
			t.Errorf("got %v", err)
		}
		if len(s.stored) != 999 {
			t.Errorf("got %d stored, want 999", len(s.stored))
		}
	})
}

func TestPutRetriesAfterAShortResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		short := shortClient{&calls}
		p := newProducer(t, &stream{}, func(c *kinesis.Config) { c.Client = short; c.MaxAttempts = 2 })
		if err := p.Put(t.Context(), named("a", "b")); !errors.Is(err, telemetry.ErrUnavailable) || calls != 2 {
			t.Errorf("got %v after %d calls, want ErrUnavailable after 2", err, calls)
		}
	})
}

type shortClient struct{ calls *int }

func (c shortClient) PutRecords(context.Context, *sdk.PutRecordsInput, ...func(*sdk.Options)) (*sdk.PutRecordsOutput, error) {
	*c.calls++
	return &sdk.PutRecordsOutput{Records: make([]types.PutRecordsResultEntry, 1)}, nil
}

func TestPutRejectsInvalidRecords(t *testing.T) {
	for name, r := range map[string]kinesis.Record{
		"no key":      {Data: []byte("a")},
		"long key":    {PartitionKey: strings.Repeat("ä", 257), Data: []byte("a")},
		"a byte over": {PartitionKey: "gw", Data: make([]byte, 1<<20-1)},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stream{}
			err := newProducer(t, s, nil).Put(t.Context(), append(named("fine"), r))
			if !errors.Is(err, telemetry.ErrInvalid) || !strings.Contains(err.Error(), "record 1") {
				t.Errorf("got %v", err)
			}
			if len(s.calls) != 0 {
				t.Errorf("got %d calls, want none", len(s.calls))
			}
		})
	}
	if err := newProducer(t, &stream{}, nil).Put(t.Context(), []kinesis.Record{
		{PartitionKey: strings.Repeat("ä", 256), Data: nil},
	}); err != nil {
		t.Errorf("the longest key: got %v", err)
	}
}

func TestPutStopsWhenCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &stream{reject: func(int, *sdk.PutRecordsInput) ([]string, error) { cancel(); return []string{throughputExceeded}, nil }}
		err := newProducer(t, s, nil).Put(ctx, named("a"))
		if !errors.Is(err, telemetry.ErrUnavailable) || len(s.calls) != 1 || time.Since(s.started) != 0 {
			t.Errorf("got %v after %d calls and %v", err, len(s.calls), time.Since(s.started))
		}
	})
}

func TestNewProducerReportsEveryProblem(t *testing.T) {
	_, err := kinesis.NewProducer(kinesis.Config{CallBytes: 11 << 20})
	if !errors.Is(err, telemetry.ErrInvalid) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"stream: empty", "call bytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to name %s", err, want)
		}
	}
}
