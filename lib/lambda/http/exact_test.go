package http_test

import (
	"encoding/json"
	"strings"
	"testing"

	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
)

type exactInner struct {
	Element string `json:"element"`
}

type exactBase struct {
	Name string `json:"name"`
}

type exactDocument struct {
	exactBase
	Title  *string               `json:"title,omitempty" nullable:""`
	States map[string]exactInner `json:"states"`
	List   [][]exactInner        `json:"list"`
	Detail json.RawMessage       `json:"detail"`
	Number float64               `json:"number"`

	Numbers map[string][]*float64 `json:"numbers"`
}

// TestExact checks documents that encoding/json accepts.
func TestExact(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{"name":"a","title":null,"states":{"1":{"element":"x"},"2":{}},"list":[[{}],[]],"detail":{"A":1,"a":[2e999]},"number":-0}`: "",
		`null`:                                     "it must not be null",
		`{}`:                                       "",
		`{"name":"\ud83d\ude00\\ud800\"\u0041"}`:   "",
		`{"name":"\ufffd"}`:                        "",
		`{"name":"a","name":"b"}`:                  "repeated",
		`{"name":"a","n\u0061me":"b"}`:             "repeated",
		`{"name":"a","NAME":"b"}`:                  `want "name"`,
		`{"Title":"a"}`:                            `want "title"`,
		`{"states":{"1":{},"1":{}}}`:               "repeated",
		`{"states":{"1":{"Element":""}}}`:          `want "element"`,
		`{"list":[[{"element":"","element":""}]]}`: "repeated",
		`{"detail":[{"a":{},"a":1}]}`:              "", // checked by its own decoder
		`{"name":"a\ud800b"}`:                      "Unicode",
		`{"name":"\ud800\ud800"}`:                  "Unicode",
		`{"name":"\udc00\ud800"}`:                  "Unicode",
		`{"name":"\ud83d\ude00\ude00"}`:            "Unicode",
		`{"name":"\uD800"}`:                        "Unicode",
		"{\"name\":\"a\ufffdb\"}":                  "Unicode",
		`{"number":9007199254740993}`:              `member "number": a number cannot be held exactly`,
		`{"number":-9007199254740993.0}`:           `member "number"`,
		`{"number":9007199254740992}`:              "",
		`{"number":9007199254740994}`:              "",
		`{"number":123456789012345680000}`:         "", // the shortest digits of its float64
		`{"number":1e300}`:                         "",
		`{"number":0.1}`:                           "",
		`{"number":null}`:                          `member "number": it must not be null`,
		`{"states":null}`:                          `member "states": it must not be null`,
		`{"states":{"1":null}}`:                    `member "states": it must not be null`,
		`{"list":[null]}`:                          `member "list": it must not be null`,
		`{"numbers":{"a":[null]}}`:                 `member "numbers": it must not be null`,
		`{"detail":{"number":9007199254740993}}`:   "", // stored as it is
		`{"numbers":{"a":[9007199254740993]}}`:     "a number cannot be held exactly",
	} {
		var v exactDocument
		decoder := json.NewDecoder(strings.NewReader(raw))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&v); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		switch err := lambdahttp.Exact([]byte(raw), &v); {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want %q", raw, err, want)
		}
	}
}

// FuzzExact: Exact does not panic on a document that encoding/json accepts, and accepts the
// document that encoding/json writes from it.
func FuzzExact(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","NAME":"b"}`, `{"states":{"1":{"element":"\ud800"}}}`, `{"detail":[1e999,{"a":"\\u"}]}`, `null`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var v map[string]string
		if json.Unmarshal([]byte(raw), &v) != nil || v == nil {
			return
		}
		_ = lambdahttp.Exact([]byte(raw), &v)
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := lambdahttp.Exact(encoded, &v); err != nil && !strings.Contains(string(encoded), "\ufffd") {
			t.Fatalf("%s: %v", encoded, err)
		}
	})
}
