package whip

import (
	"strings"
	"testing"
)

func FuzzFragment(f *testing.F) {
	f.Add("a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n" +
		"a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\na=end-of-candidates\r\n")
	f.Add("a=candidate:x")
	f.Add("a=end-of-candidates\n")
	const offer = "v=0\r\na=ice-ufrag:old1\r\na=ice-pwd:0123456789012345678901\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n" +
		"a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseFragment(text)
		if err != nil {
			return
		}
		if len(got.candidates) > maxCandidates {
			t.Fatalf("%d candidates", len(got.candidates))
		}
		if got.ufrag == "" || got.pwd == "" {
			return
		}
		// Credentials go into a description: nothing else may come with them.
		renewed := got.renew(offer)
		if want := strings.Count(offer, "\n") - 1; strings.Count(renewed, "\n") != want || strings.Count(renewed, "\r") != want {
			t.Fatalf("%q", renewed)
		}
		if attribute(renewed, "ice-ufrag") != got.ufrag || attribute(renewed, "ice-pwd") != got.pwd {
			t.Fatalf("%q holds other credentials than %+v", renewed, got)
		}
	})
}
