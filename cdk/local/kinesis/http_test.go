package kinesis

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestProtocolErrors(t *testing.T) {
	t.Parallel()
	h := New(Config{}).Handler()
	request := func(method, target, kind, body string) (int, string) {
		r := httptest.NewRequestWithContext(t.Context(), method, "/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", target)
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var e struct {
			Type string `json:"__type"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
			t.Errorf("%s %s: %q: %v", method, target, w.Body, err)
		}
		if got := w.Header().Get("Content-Type"); got != contentType {
			t.Errorf("%s %s: content type %q", method, target, got)
		}
		return w.Code, e.Type
	}
	const list = targetPrefix + "ListStreams"
	for _, c := range []struct {
		method, target, kind, body string
		status                     int
		want                       ErrorType
	}{
		{http.MethodGet, list, contentType, "", 400, UnknownOperation},
		{http.MethodPost, "", contentType, "{}", 400, UnknownOperation},
		{http.MethodPost, "DynamoDB_20120810.ListTables", contentType, "{}", 400, UnknownOperation},
		{http.MethodPost, targetPrefix + "SubscribeToShard", contentType, "{}", 400, UnknownOperation},
		{http.MethodPost, list, "application/cbor", "{}", 400, Serialization},
		{http.MethodPost, list, contentType, "{", 400, Serialization},
		{http.MethodPost, list, contentType, `{"Limit":"x"}`, 400, Serialization},
		{http.MethodPost, list, contentType, `{"Limit":0}`, 400, Validation},
		{http.MethodPost, targetPrefix + "PutRecords", contentType, strings.Repeat(" ", maxBody+1), 413, RequestEntityTooLarge},
	} {
		if status, got := request(c.method, c.target, c.kind, c.body); status != c.status || got != string(c.want) {
			t.Errorf("%s %q %s %.20q: %d %s, want %d %s", c.method, c.target, c.kind, c.body, status, got, c.status, c.want)
		}
	}
}

// scaleTo calls UpdateShardCount on the stream st.
func scaleTo(tb testing.TB, s *Server, n int) error {
	tb.Helper()
	return call(tb, s, "UpdateShardCount", map[string]any{"StreamName": "st", "TargetShardCount": n, "ScalingType": "UNIFORM_SCALING"}, nil)
}

func TestOnDemandStreams(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	mode := map[string]any{"StreamMode": "ON_DEMAND"}
	must(t, call(t, s, "CreateStream", map[string]any{"StreamName": "st", "StreamModeDetails": mode}, nil))
	infos, err := s.ListShardInfo("st")
	must(t, err)
	if len(infos) != 4 {
		t.Errorf("%d shards, want 4", len(infos))
	}
	split := map[string]any{"StreamName": "st", "ShardToSplit": shardName(0), "NewStartingHashKey": "100"}
	wantType(t, call(t, s, "SplitShard", split, nil), Validation)
	wantType(t, scaleTo(t, s, 8), Validation)
}

func TestRecordSizes(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	must(t, s.CreateStream("st", 1))
	in := func(n int) map[string]any {
		return map[string]any{"StreamName": "st", "PartitionKey": "0123456789", "Data": bytes.Repeat([]byte{1}, n)}
	}
	wantType(t, call(t, s, "PutRecord", in(1<<20-9), nil), Validation)
	must(t, call(t, s, "PutRecord", in(1<<20-10), nil))
	arn := s.arn("st")
	wantType(t, call(t, s, "UpdateMaxRecordSize", map[string]any{"StreamARN": arn, "MaxRecordSizeInKiB": 10241}, nil), Validation)
	must(t, call(t, s, "UpdateMaxRecordSize", map[string]any{"StreamARN": arn, "MaxRecordSizeInKiB": 10240}, nil))
	wantType(t, call(t, s, "PutRecord", in(1<<20-9), nil), ThroughputExceeded)
}

func TestUpdateShardCountLimits(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := New(Config{Now: clock.Now, ShardLimit: 12})
	must(t, s.CreateStream("st", 4))
	scale := func(n int) error { return scaleTo(t, s, n) }
	wantType(t, scale(9), LimitExceeded)
	wantType(t, scale(1), LimitExceeded)
	wantType(t, scale(4), InvalidArgument)
	must(t, scale(8))
	wantType(t, scale(13), LimitExceeded)
	for i := range 9 {
		must(t, scale(7+i%2))
	}
	wantType(t, scale(8), LimitExceeded)
	clock.add(scalingWindow)
	must(t, scale(8))
	wantType(t, s.CreateStream("more", 5), LimitExceeded)
}
