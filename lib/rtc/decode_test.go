package rtc_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/rtc"
)

// description is a description as Chromium makes it for a data channel.
const description = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" +
	"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:7sFv\r\na=ice-pwd:dOTZKZNVlO9RSGsEGM63JXT2\r\n" +
	"a=ice-options:trickle\r\na=fingerprint:sha-256 7B:8B:F0:65:5F:78:E2:51:" +
	"3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08\r\n" +
	"a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n"

const hostCandidate = "candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0 ufrag 7sFv network-id 1"

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

func offer(sdp string) string {
	return `{"type":"offer","id":"1","to":"p","connection":"c","sdp":` + quoted(sdp) + `}`
}

func candidate(text string) string {
	return `{"type":"candidate","id":"1","to":"p","connection":"c","candidate":` + quoted(text) + `}`
}

func TestDecodeClient(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]rtc.Message{
		`{"type":"hello","token":"t"}`:                        rtc.Hello{Token: "t"},
		`{"token":"t","type":"hello","id":"a","resume":null}`: rtc.Hello{ID: "a", Token: "t"},
		`{"type":"hello","token":"t","resume":{"ticket":"x","received":12,"later":[1]}}`: rtc.Hello{
			Token: "t", Resume: &rtc.Resume{Ticket: "x", Received: 12},
		},
		`{ "type" : "token" , "token" : "t" , "later" : {"a":[null,true]} }`: rtc.Token{Token: "t"},
		`{"type":"join","site":"H\u00e4lle"}`:                                rtc.Join{Site: "Hälle"},
		`{"type":"leave","site":"plant-1"}`:                                  rtc.Leave{Site: "plant-1"},
		`{"type":"ping"}`:                                                    rtc.Ping{},
		`{"type":"ice","id":"i"}`:                                            rtc.ICE{ID: "i"},
		`{"type":"bye","to":"p","connection":"c","reason":"done"}`:           rtc.Bye{To: "p", Connection: "c", Reason: "done"},
		`{"type":"bye","to":"p","connection":"c","from":"forged","seq":9}`:   rtc.Bye{To: "p", Connection: "c"},
		`{"type":"candidate","to":"p","connection":"c","candidate":null}`:    rtc.Candidate{To: "p", Connection: "c"},
		`{"type":"candidate","to":"p","connection":"c","candidate":"","sdpMid":null}`: rtc.Candidate{
			To: "p", Connection: "c", Candidate: new(""),
		},
		strings.Replace(candidate(hostCandidate), `}`, `,"sdpMid":"0","sdpMLineIndex":0}`, 1): rtc.Candidate{
			ID: "1", To: "p", Connection: "c", Candidate: new(hostCandidate), SDPMid: new("0"), SDPMLineIndex: new(uint16(0)),
		},
		offer(description): rtc.Offer{ID: "1", To: "p", Connection: "c", SDP: description},
		strings.Replace(offer(description), "offer", "answer", 1): rtc.Answer{ID: "1", To: "p", Connection: "c", SDP: description},
	} {
		got, err := rtc.DecodeClient([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", text, diff)
		}
	}
}

// TestRejected: each malformed message has its code, and a text that says what is wrong.
func TestRejected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		code rtc.Code
		says string
	}{
		{``, rtc.InvalidMessage, "JSON object"},
		{`[]`, rtc.InvalidMessage, "JSON object"},
		{`"hello"`, rtc.InvalidMessage, "JSON object"},
		{`{`, rtc.InvalidMessage, "not valid JSON at byte 1"},
		{`{"type":"ping"`, rtc.InvalidMessage, "not valid JSON at byte 14"},
		{`{"type":"ping"}{}`, rtc.InvalidMessage, "more text follows the object at byte 15"},
		{`{"type":"ping",}`, rtc.InvalidMessage, "not valid JSON"},
		{`{"type":"ping","n":NaN}`, rtc.InvalidMessage, "not valid JSON"},
		{`{"type":"ping","n":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, rtc.InvalidMessage, "not valid JSON"},
		{"{\"type\":\"ping\",\"id\":\"\xff\"}", rtc.InvalidUTF8, "UTF-8"},
		{`{"type":"ping","id":"\ud800"}`, rtc.InvalidMessage, `"id" has half of a surrogate pair`},
		{`{}`, rtc.InvalidMessage, `"type" is missing`},
		{`{"type":null}`, rtc.InvalidMessage, `"type" must be a string`},
		{`{"type":7}`, rtc.InvalidMessage, `"type" must be a string`},
		{`{"Type":"ping"}`, rtc.InvalidMessage, `"type" is missing`},
		{`{"type":"pong"}`, rtc.UnknownType, `"pong"`},
		{`{"type":"welcome"}`, rtc.UnknownType, `"welcome"`},
		{`{"type":"\u0000` + strings.Repeat("x", 100) + `"}`, rtc.UnknownType, "…"},
		{`{"type":"ping","type":"ping"}`, rtc.InvalidMessage, `"type" is repeated`},
		{`{"type":"ping","x":1,"\u0078":2}`, rtc.InvalidMessage, `"x" is repeated`},
		{`{"type":"hello","token":"t","resume":{"ticket":"a","ticket":"b"}}`, rtc.InvalidMessage, `"ticket" is repeated`},
		{`{"type":"hello"}`, rtc.InvalidMessage, `"token" is missing`},
		{`{"type":"hello","token":""}`, rtc.InvalidMessage, `"token" is empty`},
		{`{"type":"token","token":["t"]}`, rtc.InvalidMessage, `"token" must be a string`},
		{`{"type":"hello","token":"t","resume":"x"}`, rtc.InvalidMessage, `"resume" must be an object`},
		{`{"type":"hello","token":"t","resume":{}}`, rtc.InvalidMessage, `"resume.ticket" is missing`},
		{`{"type":"hello","token":"t","resume":{"ticket":"x","received":-1}}`, rtc.InvalidMessage, `"resume.received" must be an integer`},
		{`{"type":"hello","token":"t","resume":{"ticket":"x","received":1.5}}`, rtc.InvalidMessage, `"resume.received" must be an integer`},
		{`{"type":"hello","token":"t","resume":{"ticket":"x","received":1e99}}`, rtc.InvalidMessage, `must be an integer`},
		{`{"type":"hello","token":"t","resume":{"ticket":"x","received":9007199254740993}}`, rtc.InvalidMessage, `must be an integer`},
		{`{"type":"ping","id":5}`, rtc.InvalidMessage, `"id" must be a string`},
		{`{"type":"ping","id":null}`, rtc.InvalidMessage, `"id" must be a string`},
		{`{"type":"ping","id":"` + strings.Repeat("i", 65) + `"}`, rtc.InvalidMessage, `"id" has 65 bytes`},
		{`{"type":"join"}`, rtc.InvalidMessage, `"site" is missing`},
		{`{"type":"join","site":""}`, rtc.InvalidMessage, `"site" must be a name`},
		{`{"type":"join","site":"a\nb"}`, rtc.InvalidMessage, `"site" must be a name`},
		{`{"type":"leave","site":true}`, rtc.InvalidMessage, `"site" must be a string`},
		{`{"type":"bye","connection":"c"}`, rtc.InvalidMessage, `"to" is missing`},
		{`{"type":"bye","to":"","connection":"c"}`, rtc.InvalidMessage, `"to" must be the id of a peer`},
		{`{"type":"bye","to":"p","connection":"c d"}`, rtc.InvalidMessage, `"connection" must be`},
		{`{"type":"bye","to":"p","connection":"` + strings.Repeat("c", 65) + `"}`, rtc.InvalidMessage, `"connection" must be`},
		{`{"type":"bye","to":"p","connection":"c","reason":"` + strings.Repeat("r", 257) + `"}`, rtc.InvalidMessage, `has 257 bytes`},
		{`{"type":"bye","to":"p","connection":"c","reason":"\u0007"}`, rtc.InvalidMessage, `"reason" has a control character`},
		{`{"type":"candidate","to":"p","connection":"c"}`, rtc.InvalidMessage, `"candidate" is missing`},
		{`{"type":"candidate","to":"p","connection":"c","candidate":"","sdpMLineIndex":65536}`, rtc.InvalidMessage, "65535"},
		{`{"type":"candidate","to":"p","connection":"c","candidate":"","usernameFragment":"a b"}`, rtc.InvalidCandidate, "Fragment"},
		{`{` + members(65) + `,"type":"ping"}`, rtc.InvalidMessage, "more than 64 members"},
		{`{"type":"ping","x":"` + strings.Repeat("x", rtc.MaxMessageBytes) + `"}`, rtc.MessageTooBig, "at most 65536"},
	} {
		m, err := rtc.DecodeClient([]byte(c.text))
		var fault *rtc.Error
		if !errors.As(err, &fault) || fault.Code != c.code || !strings.Contains(fault.Message, c.says) || len(fault.Message) > 200 {
			t.Errorf("%.100s: got %v, %v; want %s with %q", c.text, m, err, c.code, c.says)
		}
	}
}

func members(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = quoted(strings.Repeat("m", i+1)) + ":1"
	}
	return strings.Join(all, ",")
}

// TestErrorsNameTheMessage: the error carries the id, by which a client finds its request.
func TestErrorsNameTheMessage(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"type":"join","id":"7"}`, `{"id":"7","type":"later"}`, `{"id":"7"}`, strings.Replace(offer("v=1"), `"1"`, `"7"`, 1),
	} {
		_, err := rtc.DecodeClient([]byte(text))
		var fault *rtc.Error
		if !errors.As(err, &fault) || fault.Re != "7" {
			t.Errorf("%s: got %+v", text, err)
		}
	}
}

// TestSizeLimit: a message may have 65,536 bytes, and not one more.
func TestSizeLimit(t *testing.T) {
	t.Parallel()
	const head, tail = `{"type":"ping","later":"`, `"}`
	fits := head + strings.Repeat("x", rtc.MaxMessageBytes-len(head)-len(tail)) + tail
	if _, err := rtc.DecodeClient([]byte(fits)); err != nil || len(fits) != 65536 {
		t.Errorf("%d bytes: %v", len(fits), err)
	}
	_, err := rtc.DecodeClient([]byte(fits + " "))
	var fault *rtc.Error
	if !errors.As(err, &fault) || fault.Code != rtc.MessageTooBig {
		t.Errorf("%d bytes: %v", len(fits)+1, err)
	}
}

func serverMessages() []rtc.Message {
	return []rtc.Message{
		rtc.Welcome{
			Re: "1", Version: 1, Peer: "p", Ticket: "t", Resumed: true, Kind: rtc.Gateway, Name: "gw-1", HeartbeatSeconds: 5,
			Limits: rtc.Limits{MessageBytes: 65536, MessagesPerSecond: 50, Rooms: 8}, TokenExpiresMS: 1_795_438_800_000, ServerTimeMS: 3,
		},
		rtc.Joined{Re: "2", Seq: 1, Site: "plant <1>", Peers: []rtc.PeerInfo{
			{Peer: "q", Kind: rtc.Person, Name: "n", Polite: true, Lost: true},
		}},
		rtc.Joined{Seq: 1, Site: "plant-1", Peers: []rtc.PeerInfo{}},
		rtc.Presence{Seq: 2, Site: "plant-1", Peer: "q", Kind: rtc.Gateway, Name: "n", State: rtc.StateLeft, Reason: rtc.AccessEnded},
		rtc.Left{Seq: 3, Site: "plant-1", Reason: rtc.AccessEnded},
		rtc.Offer{Seq: 4, From: "q", Connection: "c", SDP: description},
		rtc.Answer{Seq: 5, From: "q", Connection: "c", SDP: description},
		rtc.Candidate{Seq: 6, From: "q", Connection: "c", Candidate: new(hostCandidate), UsernameFragment: new("7sFv")},
		rtc.Candidate{Seq: 6, From: "q", Connection: "c"},
		rtc.Bye{Seq: 7, From: "q", Connection: "c"},
		rtc.ICEResponse{Seq: 8, Servers: []rtc.ICEServer{
			{URLs: []string{"stun:a"}}, {URLs: []string{"turn:b", "turns:b"}, Username: "u", Credential: "c"},
		}},
		rtc.ICEResponse{Seq: 8, Servers: []rtc.ICEServer{}},
		rtc.Pong{TimeMS: 9},
		rtc.ErrorMessage{Code: rtc.Forbidden, Message: "no"},
		rtc.Move{Seq: 9, DelayMS: 10, Reconnect: true},
	}
}

// TestServerRoundTrip: what is encoded is decoded to the same.
func TestServerRoundTrip(t *testing.T) {
	t.Parallel()
	for _, m := range serverMessages() {
		text, err := rtc.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := rtc.DecodeServer(text); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", text, diff)
		}
	}
}

// TestAppendWithSeq: the service numbers a message that another task has encoded.
func TestAppendWithSeq(t *testing.T) {
	t.Parallel()
	text, err := rtc.Encode(rtc.Bye{From: "q", Connection: "c"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := rtc.DecodeServer(rtc.AppendWithSeq(nil, text, 41))
	if diff := cmp.Diff(rtc.Message(rtc.Bye{Seq: 41, From: "q", Connection: "c"}), got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// TestEncodeTooLarge: a message that no receiver accepts is an error of the sender.
func TestEncodeTooLarge(t *testing.T) {
	t.Parallel()
	_, err := rtc.Encode(rtc.Offer{From: "q", Connection: "c", SDP: strings.Repeat("x", rtc.MaxMessageBytes)})
	var fault *rtc.Error
	if !errors.As(err, &fault) || fault.Code != rtc.MessageTooBig {
		t.Error(err)
	}
}

// FuzzDecodeClient: any text has a message or an *Error, and what is accepted is so by
// encoding/json, too, with the same values, and is accepted after encoding.
func FuzzDecodeClient(f *testing.F) {
	for _, seed := range []string{
		`{"type":"hello","id":"1","token":"t","resume":{"ticket":"x","received":12}}`, `{"type":"token","token":"t"}`,
		`{"type":"join","site":"plant-1"}`, `{"type":"leave","site":"plant-1"}`, `{"type":"ping","id":"\u0031"}`, `{"type":"ice"}`,
		`{"type":"bye","to":"p","connection":"c","reason":"é"}`, `{"type":"candidate","to":"p","connection":"c","candidate":null}`,
		candidate(hostCandidate), offer(description), strings.Replace(offer(description), "offer", "answer", 1),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkDecoded(t, raw, rtc.DecodeClient, rtc.ClientMessages()) })
}

// FuzzDecodeServer is the same for the client's decoder.
func FuzzDecodeServer(f *testing.F) {
	for _, m := range serverMessages() {
		text, err := rtc.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkDecoded(t, raw, rtc.DecodeServer, rtc.ServerMessages()) })
}

func checkDecoded(t *testing.T, raw []byte, decode func([]byte) (rtc.Message, error), known []rtc.Message) {
	t.Helper()
	m, err := decode(raw)
	if err != nil {
		var fault *rtc.Error
		if !errors.As(err, &fault) || fault.Code == "" || fault.Message == "" || !utf8.ValidString(fault.Message) || m != nil {
			t.Fatalf("%q: got %v, %#v", raw, m, err)
		}
		return
	}
	if !json.Valid(raw) {
		t.Fatalf("%q: accepted", raw)
	}
	again, err := rtc.Encode(m)
	if err != nil {
		return // escapes that made it larger
	}
	if second, err := decode(again); err != nil || !reflect.DeepEqual(m, second) {
		t.Fatalf("%q: got %#v, then %#v, %v", raw, m, second, err)
	}
	for _, k := range known {
		if k.Type() != m.Type() {
			continue
		}
		other := reflect.New(reflect.TypeOf(k).Elem())
		// encoding/json matches names in any case: compare only texts without such members.
		if json.Unmarshal(raw, other.Interface()) == nil && exactNames(raw, reflect.TypeOf(k).Elem()) &&
			!cmp.Equal(m, other.Elem().Interface()) {
			t.Fatalf("%q: got %#v, encoding/json %#v", raw, m, other.Elem().Interface())
		}
	}
}

// exactNames reports whether no member has a name that only encoding/json takes for a known
// one, or is of the other direction.
func exactNames(raw []byte, t reflect.Type) bool {
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil || strings.Contains(string(raw), "resume") || strings.Contains(string(raw), "[") {
		return false
	}
	for name := range all {
		for f := range t.Fields() {
			known, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if strings.EqualFold(known, name) && (known != name || f.Tag.Get("from") != "") {
				return false
			}
		}
	}
	return true
}
