package http_test

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// roundTrip encodes and decodes a text by encoding/json.
func roundTrip(t *testing.T, text string) (decoded string) {
	t.Helper()
	raw, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded
}

func checkEnvelope(t *testing.T, status int, body []byte, header, cookie string) {
	t.Helper()
	a := invoke(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-Value"] = []string{header, header}
		w.Header()["Set-Cookie"] = []string{cookie, cookie + "2"}
		w.WriteHeader(status)
		_, _ = w.Write(body[:len(body)/2])
		_, _ = w.Write(body[len(body)/2:])
	}, payload(1001, ""))
	if a.StatusCode != status {
		t.Fatalf("status: got %d, want %d", a.StatusCode, status)
	}
	if want := roundTrip(t, header+","+header); a.Headers["x-value"] != want {
		t.Fatalf("header: got %q, want %q", a.Headers["x-value"], want)
	}
	if want := []string{roundTrip(t, cookie), roundTrip(t, cookie+"2")}; !slices.Equal(a.Cookies, want) {
		t.Fatalf("cookies: got %q, want %q", a.Cookies, want)
	}
	got := []byte(a.Body)
	if a.IsBase64Encoded {
		var err error
		if got, err = base64.StdEncoding.DecodeString(a.Body); err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != string(body) || a.IsBase64Encoded == utf8.Valid(body) {
		t.Fatalf("body: got %q (base64 %t), want %q", got, a.IsBase64Encoded, body)
	}
}

// FuzzEnvelope compares the envelope with encoding/json.
func FuzzEnvelope(f *testing.F) {
	f.Add(200, []byte(`{"times":[1,2],"unit":"\\ \u00b5"}`+"\n"), "no-store", "c=v")
	f.Add(599, []byte{0xff, 0}, "\x00\x1f\x7f\"\\", "a\xffb")
	f.Add(404, []byte("\u2028<>&\b\f\r\t\U0001f600 "), "\xe2\x82", "")
	f.Add(200, []byte("!!!!!!! \x1f!\"\"\\\\#]aaaaaaaa\xc3\xbcaaaaaa\""), "", "")
	f.Fuzz(func(t *testing.T, status int, body []byte, header, cookie string) {
		checkEnvelope(t, 200+int(uint(status)%400), body, header, cookie)
	})
}

// TestEnvelopeOfEveryByte puts each byte, alone and next to another, at each place of a
// word.
func TestEnvelopeOfEveryByte(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for c := range 256 {
		for place := range 9 {
			text := []byte(strings.Repeat("a", 19))
			text[place], text[place+1+random.IntN(8)] = byte(c), byte(random.IntN(256))
			checkEnvelope(t, http.StatusOK, text, string(text), string(text))
		}
	}
}

func TestEnvelopeWithoutResponse(t *testing.T) {
	t.Parallel()
	a := invoke(t, func(http.ResponseWriter, *http.Request) {}, payload(1001, ""))
	if a.StatusCode != http.StatusOK || a.Body != "" || a.IsBase64Encoded || a.Cookies != nil || len(a.Headers) == 0 {
		t.Errorf("got %+v, want an empty 200 with headers", a)
	}
}

// BenchmarkInvoke responds with an hour of single readings.
func BenchmarkInvoke(b *testing.B) {
	body := []byte(`{"resolution":"raw","times":[`)
	for i := range 3600 {
		body = append(strconv.AppendInt(body, 1_700_000_000_000_000+int64(i)*1_000_000, 10), ',')
	}
	body = append(body, `0],"values":[`...)
	for i := range 3600 {
		body = append(strconv.AppendFloat(body, math.Round(math.Sin(float64(i))*1e6)/1e6, 'g', -1, 64), ',')
	}
	body = append(body, "0]}\n"...)
	h := newHandler(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
	event := []byte(payload(1001, ""))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Invoke(b.Context(), event); err != nil {
			b.Fatal(err)
		}
	}
}
