package kinesis

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// benchServer returns a server without write limits that frees the records that were read.
func benchServer(b *testing.B) *Server {
	b.Helper()
	s := New(Config{Limits: Limits{WriteBytesPerSecond: -1, WriteRecordsPerSecond: -1}, MemoryBytes: 128 << 20})
	must(b, s.CreateStream("st", 4))
	must(b, s.RegisterConsumer("st", "reader"))
	follow(b.Context(), s)
	return s
}

// follow reads and reports all records as processed, as an event source mapping does.
func follow(ctx context.Context, s *Server) {
	for i := range uint32(4) {
		go func() {
			after := ""
			for {
				got, _, err := waitAndRead(ctx, s, shardName(i), after, 10_000, 6<<20)
				if err != nil {
					return
				}
				after = got[len(got)-1].SequenceNumber
				if s.SetTrimmable("st", "reader", shardName(i), after) != nil {
					return
				}
			}
		}()
	}
}

func body(b *testing.B, records, size int) []byte {
	b.Helper()
	type entry struct {
		Data         []byte
		PartitionKey string
	}
	in := struct {
		Records    []entry
		StreamName string
	}{StreamName: "st"}
	for i := range records {
		in.Records = append(in.Records, entry{bytes.Repeat([]byte{byte(i)}, size), string(rune('a' + i%26))})
	}
	out, err := json.Marshal(in)
	must(b, err)
	return out
}

type shape struct {
	name          string
	records, size int
}

func shapes() []shape {
	return []shape{{"500x200B", 500, 200}, {"4x20KB", 4, 20_000}, {"1x20KB", 1, 20_000}}
}

func report(b *testing.B, sh shape, start time.Time) {
	b.Helper()
	b.ReportMetric(float64(b.N*sh.records)/time.Since(start).Seconds(), "records/s")
}

func BenchmarkPutRecordsDirect(b *testing.B) {
	for _, sh := range shapes() {
		b.Run(sh.name, func(b *testing.B) {
			s := benchServer(b)
			a := newAPI(s)
			putRecords := a.putting(a.putRecords)
			in := body(b, sh.records, sh.size)
			var out []byte
			b.SetBytes(int64(sh.records * sh.size))
			b.ReportAllocs()
			start := time.Now()
			for b.Loop() {
				var err error
				if out, err = putRecords(in, out[:0]); err != nil {
					b.Fatal(err)
				}
			}
			report(b, sh, start)
		})
	}
}

func BenchmarkPutRecordsHTTP(b *testing.B) {
	for _, sh := range shapes() {
		b.Run(sh.name, func(b *testing.B) {
			s := benchServer(b)
			web := httptest.NewServer(s.Handler())
			defer web.Close()
			in := body(b, sh.records, sh.size)
			b.SetBytes(int64(sh.records * sh.size))
			start := time.Now()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, web.URL, bytes.NewReader(in))
					if err != nil {
						b.Error(err)
						return
					}
					r.Header.Set("Content-Type", contentType)
					r.Header.Set("X-Amz-Target", targetPrefix+"PutRecords")
					res, err := web.Client().Do(r)
					if err != nil {
						b.Error(err)
						return
					}
					_, err = io.Copy(io.Discard, res.Body)
					if err != nil || res.StatusCode != http.StatusOK {
						b.Errorf("status %d, error %v", res.StatusCode, err)
					}
					_ = res.Body.Close()
				}
			})
			report(b, sh, start)
		})
	}
}

// BenchmarkPutToRead measures the time from a put to the return of the read that waits for it.
func BenchmarkPutToRead(b *testing.B) {
	s := New(Config{Limits: Limits{WriteRecordsPerSecond: -1}, MemoryBytes: 1 << 40})
	must(b, s.CreateStream("st", 1))
	got := make(chan string)
	go func() {
		after := ""
		for range b.N {
			r, _, err := waitAndRead(b.Context(), s, shardName(0), after, 1, 1<<20)
			if err != nil {
				b.Error(err)
				return
			}
			after = r[0].SequenceNumber
			got <- after
		}
	}()
	b.ResetTimer()
	for range b.N {
		if _, err := s.PutRecords("st", []PutEntry{NewPutEntry("k", nil)}, nil); err != nil {
			b.Fatal(err)
		}
		<-got
	}
}
