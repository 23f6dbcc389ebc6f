package kinesis

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	rec := func(s string) string { return `{"StreamName":"st","Records":[` + s + `]}` }
	many := strings.TrimSuffix(strings.Repeat(`{"Data":"","PartitionKey":"k"},`, 501), ",")
	eleven := base64.StdEncoding.EncodeToString(make([]byte, 11<<20))
	for body, want := range map[string]ErrorType{
		``:                           Serialization,
		`null`:                       Serialization,
		`[]`:                         Serialization,
		`{`:                          Serialization,
		"{}\n":                       Validation,
		`{}x`:                        Serialization,
		"{}\x00":                     Serialization,
		`{"Records":null}`:           Validation,
		`{"Records":[]}`:             Validation,
		`{"Records":{}}`:             Serialization,
		`{"Records":[],}`:            Serialization,
		`{"Records":[],"Other":[1,}`: Serialization,
		`{"StreamName":7,"Records":[{"Data":"","PartitionKey":"k"}]}`:        Serialization,
		rec(`{"PartitionKey":"k"}`):                                          Validation,
		rec(`{"Data":null,"PartitionKey":"k"}`):                              Validation,
		rec(`{"Data":""}`):                                                   Validation,
		rec(`{"Data":"","PartitionKey":""}`):                                 Validation,
		rec(`{"Data":"","PartitionKey":null}`):                               Validation,
		rec(`{"Data":"","PartitionKey":"` + strings.Repeat("k", 257) + `"}`): Validation,
		rec(`{"Data":"","PartitionKey":"` + strings.Repeat("ä", 256) + `"}`): "",
		rec(`{"Data":"A","PartitionKey":"k"}`):                               Serialization,
		rec(`{"Data":"A===","PartitionKey":"k"}`):                            Serialization,
		rec(`{"Data":"AA==","PartitionKey":"k"}`):                            "",
		rec(`{"Data":"AA==` + "\n" + `","PartitionKey":"k"}`):                Serialization,
		rec(`{"Data":"AAAA\u002b\/==","PartitionKey":"k"}`):                  "",
		rec(`{"Data":"ÄÄÄÄ","PartitionKey":"k"}`):                            Serialization,
		rec(`{"Data":7,"PartitionKey":"k"}`):                                 Serialization,
		rec(`{"Data":"","PartitionKey":"k","ExplicitHashKey":"-1"}`):         InvalidArgument,
		rec(`{"Data":"","PartitionKey":"k","ExplicitHashKey":null}`):         "",
		rec(`{"Data":"","PartitionKey":"k","Unknown":{"a":[1,"]",{}]}}`):     "",
		rec(`{"Data":"","PartitionKey":"k"}{"Data":"","PartitionKey":"k"}`):  Serialization,
		rec(many): Validation,
		rec(`{"PartitionKey":"k","Data":"` + eleven + `"}`):                            InvalidArgument,
		`{"StreamName":"st","DryRun":"no","Records":[{"Data":"","PartitionKey":"k"}]}`: Serialization,
	} {
		var p putRequest
		err := p.decodeMany([]byte(body))
		if want == "" && err != nil || want != "" && !IsType(err, want) {
			t.Errorf("%.80s…: error %v, want %q", body, err, want)
		}
	}
}

// reference decodes with encoding/json, with case-sensitive names.
func reference(body []byte) (stream string, records []map[string]json.RawMessage, ok bool) {
	var top map[string]json.RawMessage
	if json.Unmarshal(body, &top) != nil || top == nil {
		return "", nil, false
	}
	if v, has := top["StreamName"]; has && json.Unmarshal(v, &stream) != nil {
		return "", nil, false
	}
	return stream, records, json.Unmarshal(top["Records"], &records) == nil
}

func FuzzDecodePutRecords(f *testing.F) {
	for _, s := range []string{
		`{"Records":[{"Data":"aGVsbG8=","PartitionKey":"gw-1"}],"StreamName":"st"}`,
		`{"StreamName":"s\u0074","Records":[{"PartitionKey":"ä\n","ExplicitHashKey":"17","Data":"\/\/\/\/"},` +
			`{"Data":"","PartitionKey":"k","x":[1,{"y":null}]}]}`,
		`{"Records":[{"Data":"` + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("long enough for the fast path "), 9)) +
			`","PartitionKey":"k"}]}`,
		` { "Records" : [ ] , "DryRun" : false } `, `{"Records":null,"Records":[{"Data":"AA==","PartitionKey":"k"}]}`, `{`, `[]`, `{"a":}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var p putRequest
		err := p.decodeMany(body)
		stream, records, ok := reference(body)
		if err != nil {
			return
		}
		if !json.Valid(body) || !ok {
			t.Fatalf("%q is accepted, but not by encoding/json", body)
		}
		if p.stream != stream || len(p.entries) != len(records) {
			t.Fatalf("%q: stream %q with %d entries, encoding/json has %q and %d", body, p.stream, len(p.entries), stream, len(records))
		}
		for i, r := range records {
			var key string
			var data []byte
			if json.Unmarshal(r["PartitionKey"], &key) != nil || json.Unmarshal(r["Data"], &data) != nil {
				t.Fatalf("%q: record %d is accepted", body, i)
			}
			if e := p.entries[i]; e.PartitionKey != key || !bytes.Equal(e.Data, data) {
				t.Fatalf("%q: record %d is (%q, %q), encoding/json has (%q, %q)", body, i, e.PartitionKey, e.Data, key, data)
			}
		}
	})
}

// The fast base64 decoder decodes data of all lengths and byte values.
func TestDecodeDataOfEveryLength(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 600 {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		body := fmt.Sprintf(`{"PartitionKey":"k","StreamName":"st","Data":%q}`, base64.StdEncoding.EncodeToString(data))
		var p putRequest
		if err := p.decodeOne([]byte(body)); err != nil || !bytes.Equal(p.entries[0].Data, data) {
			t.Fatalf("%d bytes: error %v", n, err)
		}
	}
}
