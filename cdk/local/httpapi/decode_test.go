package httpapi

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// FuzzDecodeResponse compares decodeResponse with encoding/json.
func FuzzDecodeResponse(f *testing.F) {
	for _, seed := range []string{
		`{"statusCode":200,"headers":{"body":"x","a":"}\""},"cookies":["body"],"body":"a\"b\\c\/\n\r\t","isBase64Encoded":false}`,
		`{"body":"a","body":"b"}`, `{"body":"a","Body":"b"}`, `{"body":"a","bod\u0079":"b"}`, `{"body":"\u00fc\ud83d\ude00"}`,
		`{"body":"\x"}`,
		"{\"body\":\"\x01\"}", "{\"body\":\"\xff\"}", `{"body" : "a"}`, `{"body":1}`, `{"body":"a"`, `{"a":["body":"x"],"body":"y"}`,
		`{"body":"\"`, `{"body":"b"]`,
		`{"a":{"b":1,"body":"in"},"body":"out"}`, `{"body":"a"x}`, `{"body":"a" "b":"c"}`, `{,"body":"a"}`,
		`{"body":"0123456 !#]\\üüü日本"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var got, want response
		err, wantErr := decodeResponse(payload, &got), json.Unmarshal(payload, &want)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, encoding/json: %v", payload, err, wantErr)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %+v, encoding/json: %+v", payload, got, want)
		}
	})
}

// BenchmarkParseResponse reads responses of 100 kB: columns of numbers, and documents.
func BenchmarkParseResponse(b *testing.B) {
	for name, body := range map[string]string{
		"columns": `{"times":[` + strings.Repeat("1764000000000000,", 3000) + `0],"values":[` +
			strings.Repeat("9.123456789012345,", 3000) + "0]}\n",
		"documents": `{"items":[` + strings.Repeat(`{"device":"device-1","metric":"metric-2","value":1.25},`, 1800) + "{}]}\n",
	} {
		b.Run(name, func(b *testing.B) {
			payload := append([]byte(`{"statusCode":200,"headers":{"content-type":"application/json"},"body":`), appendString(nil, body)...)
			payload = append(payload, `,"isBase64Encoded":false}`...)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if r, err := parseResponse(payload); err != nil || len(r.Body) != len(body) {
					b.Fatal(err)
				}
			}
		})
	}
}
