package lambda_test

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkInvoke reports the processor time of the host and of the function
// for one invocation.
func BenchmarkInvoke(b *testing.B) {
	for _, size := range []int{100, 140_000, 1_400_000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			f := newFunction(b, nil)
			payload := []byte("[" + strings.Repeat(" ", size-2) + "]")
			invoke(b, f, string(payload))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			before := f.Stats().CPU
			host := hostCPU(b)
			for b.Loop() {
				result, err := f.Invoke(b.Context(), payload)
				if err != nil || !bytes.Equal(result.Payload, fmt.Appendf(nil, "%d", size)) {
					b.Fatalf("%s, %v", result.Payload, err)
				}
			}
			n := float64(b.N)
			b.ReportMetric(float64((hostCPU(b)-host).Microseconds())/n, "host-µs/op")
			b.ReportMetric(float64((f.Stats().CPU-before).Microseconds())/n, "function-µs/op")
		})
	}
}

func hostCPU(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
