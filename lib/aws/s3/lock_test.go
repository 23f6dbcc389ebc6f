package s3_test

import (
	"net/http"
	"testing"
)

// TestPutSendsAChecksum: a bucket with Object Lock, as that of the audit trail's anchors,
// rejects an object without a checksum.
func TestPutSendsAChecksum(t *testing.T) {
	var sums []string
	s := open(t, configured(serve(t, func(r *http.Request) {
		if r.Method == http.MethodPut {
			sums = append(sums, r.Header.Get("X-Amz-Checksum-Crc32"))
		}
	})))
	if err := s.PutIfAbsent(t.Context(), "audit-anchors/1", []byte("{}"), "application/json"); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "audit-reports/1", []byte("123456789"), "application/json"); err != nil {
		t.Fatal(err)
	}
	// CBF43926 is the check value of the CRC-32 of ISO-HDLC.
	if len(sums) != 2 || sums[0] == "" || sums[1] != "y/Q5Jg==" {
		t.Errorf("checksums %q", sums)
	}
}
