package rtc_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/rtc"
)

func TestCheckSDP(t *testing.T) {
	t.Parallel()
	replace := func(old, text string) string { return strings.Replace(description, old, text, 1) }
	for name, sdp := range map[string]string{
		"as made": description, "without CR": strings.ReplaceAll(description, "\r\n", "\n"),
		"no final line break": strings.TrimSuffix(description, "\r\n"),
		"rejected section":    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 0 UDP/TLS/RTP/SAVPF 0\r\n",
		"session-level ICE":   strings.Replace(replace("a=ice-ufrag:7sFv\r\n", ""), "t=0 0\r\n", "t=0 0\r\na=ice-ufrag:7sFv\r\n", 1),
		"not ASCII":           replace("s=-", "s=Größe"),
	} {
		if err := rtc.CheckSDP(sdp); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct{ sdp, says string }{
		"empty":                      {"", "empty"},
		"another version":            {replace("v=0", "v=1"), "line 1"},
		"no version":                 {replace("v=0\r\n", ""), "line 1"},
		"two versions":               {replace("s=-", "v=0"), "line 3"},
		"no letter":                  {replace("s=-", "=-"), "line 3"},
		"capital":                    {replace("s=-", "S=-"), "line 3"},
		"blank line":                 {replace("s=-", ""), "line 3"},
		"control character":          {replace("s=-", "s=\x00"), "line 3"},
		"no media":                   {"v=0\r\ns=-\r\n", "m="},
		"media without a port":       {replace("application 9", "application"), "port"},
		"a port too large":           {replace("application 9", "application 65536"), "port"},
		"media without formats":      {replace(" webrtc-datachannel", ""), "formats"},
		"no fingerprint":             {replace("a=fingerprint", "a=other"), "fingerprint"},
		"fingerprint without a hash": {replace("sha-256 7B", "7B"), "RFC 8122"},
		"fingerprint cut off":        {replace("7B:8B", "7:8B"), "RFC 8122"},
		"no ufrag":                   {replace("a=ice-ufrag", "a=other"), "ice-ufrag"},
		"short ufrag":                {replace("7sFv", "7sF"), "ice-ufrag"},
		"ufrag with a space":         {replace("7sFv", "7s Fv"), "ice-ufrag"},
		"long ufrag":                 {replace("7sFv", strings.Repeat("u", 257)), "ice-ufrag"},
		"no pwd":                     {replace("a=ice-pwd", "a=other"), "ice-pwd"},
		"short pwd":                  {replace("dOTZKZNVlO9RSGsEGM63JXT2", "dOTZKZNVlO9RSGsEGM63J"), "ice-pwd"},
	} {
		err := rtc.CheckSDP(c.sdp)
		if err == nil || err.Code != rtc.InvalidSDP || !strings.Contains(err.Message, c.says) {
			t.Errorf("%s: got %v, want %q", name, err, c.says)
		}
	}
}

func TestUfrags(t *testing.T) {
	t.Parallel()
	two := description + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=ice-ufrag:other+/\r\na=ice-ufrag:7sFv\n"
	if got := rtc.Ufrags(two); !slices.Equal(got, []string{"7sFv", "other+/"}) {
		t.Errorf("got %q", got)
	}
	if got := rtc.Ufrags(""); got != nil {
		t.Errorf("got %q", got)
	}
}

// TestCandidates: those that Chromium, Firefox and pion make are accepted.
func TestCandidates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, ufrag string }{
		{hostCandidate, "7sFv"},
		{"", ""},
		{"candidate:4234997325 1 udp 2043278322 2f3a7a2e-1111-4f5a-9d5b-0c1e9b1d0c1e.local 44323 typ host", ""},
		{"candidate:842163049 1 udp 1677729535 203.0.113.7 60001 typ srflx raddr 0.0.0.0 rport 0 ufrag EEtu network-cost 999", "EEtu"},
		{"candidate:0 1 UDP 2122252543 fe80::1 9 typ host", ""},
		{"candidate:1 2 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0 ufrag Ab+/ network-id 1", "Ab+/"},
		{"candidate:relay+1/2 1 udp 41885439 198.51.100.1 50000 typ relay raddr 203.0.113.7 rport 60001 ", ""},
	} {
		m, err := rtc.DecodeClient([]byte(candidate(c.text)))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got, ok := m.(rtc.Candidate)
		if !ok || got.Ufrag() != c.ufrag || got.Last() != (c.text == "") {
			t.Errorf("%s: got %+v with ufrag %q", c.text, m, got.Ufrag())
		}
	}
	for name, text := range map[string]string{
		"no prefix": "1 1 udp 1 192.0.2.1 9 typ host", "attribute": "a=candidate:1 1 udp 1 192.0.2.1 9 typ host",
		"cut off": "candidate:1 1 udp 1 192.0.2.1 9 typ", "no typ": "candidate:1 1 udp 1 192.0.2.1 9 type host",
		"two spaces": "candidate:1 1  udp 1 192.0.2.1 9 typ host", "foundation": "candidate:é 1 udp 1 192.0.2.1 9 typ host",
		"long foundation": "candidate:" + strings.Repeat("1", 33) + " 1 udp 1 192.0.2.1 9 typ host",
		"component 0":     "candidate:1 0 udp 1 192.0.2.1 9 typ host", "component 257": "candidate:1 257 udp 1 192.0.2.1 9 typ host",
		"priority": "candidate:1 1 udp 4294967296 192.0.2.1 9 typ host", "negative port": "candidate:1 1 udp 1 192.0.2.1 -9 typ host",
		"port": "candidate:1 1 udp 1 192.0.2.1 65536 typ host", "half an extension": "candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag",
		"short ufrag": "candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag abc",
		"line break":  "candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=x y",
		"long":        "candidate:1 1 udp 1 192.0.2.1 9 typ host " + strings.Repeat("a b ", 300),
	} {
		_, err := rtc.DecodeClient([]byte(candidate(text)))
		if fault := fault(err); fault == nil || fault.Code != rtc.InvalidCandidate || fault.Re != "1" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func fault(err error) *rtc.Error {
	e, _ := err.(*rtc.Error) //nolint:errorlint // as the decoder returns it
	return e
}

// FuzzDescription: any text is a description or has the code; what is accepted can be put
// into a message, and has no line that a parser would split differently.
func FuzzDescription(f *testing.F) {
	f.Add(description)
	f.Add("v=0\r\nm=video 0 UDP/TLS/RTP/SAVPF 0\r\n")
	f.Add("v=0\nm=a 9 b c\na=fingerprint:sha-256 AA\na=ice-ufrag:aaaa\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, sdp string) {
		if err := rtc.CheckSDP(sdp); err != nil {
			if err.Code != rtc.InvalidSDP || err.Message == "" {
				t.Fatalf("%q: got %+v", sdp, err)
			}
			return
		}
		lines := strings.ReplaceAll(sdp, "\r\n", "\n")
		if !strings.HasPrefix(lines, "v=0") || !strings.Contains(lines, "\nm=") ||
			strings.ContainsAny(strings.TrimSuffix(lines, "\r"), "\r\x00") {
			t.Fatalf("%q: accepted", sdp)
		}
		for _, u := range rtc.Ufrags(sdp) {
			if len(u) < 4 || strings.ContainsAny(u, " \r\n") {
				t.Fatalf("%q: ufrag %q", sdp, u)
			}
		}
	})
}

// FuzzCandidate: any text is a candidate or has the code.
func FuzzCandidate(f *testing.F) {
	f.Add(hostCandidate)
	f.Add("candidate:1 2 tcp 1518280447 192.0.2.1 9 typ host tcptype active ufrag Ab+/")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := rtc.DecodeClient([]byte(candidate(text)))
		if err != nil {
			if e := fault(err); e == nil || e.Code != rtc.InvalidCandidate && e.Code != rtc.InvalidMessage && e.Code != rtc.MessageTooBig {
				t.Fatalf("%q: got %v", text, err)
			}
			return
		}
		c, ok := m.(rtc.Candidate)
		if !ok || c.Ufrag() != "" && !strings.Contains(text, "ufrag "+c.Ufrag()) {
			t.Fatalf("%q: got %+v", text, m)
		}
	})
}
