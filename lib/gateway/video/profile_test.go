package video

import (
	"testing"

	"github.com/pion/webrtc/v4"
)

func TestProfiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		accepted, sent string
		want           bool
	}{
		{"42e01f", "42e01f", true},
		{"42e01f", "42c028", true},  // constrained baseline of a higher level
		{"42e01f", "42001f", false}, // baseline may use slice groups
		{"42001f", "42001f", true},
		{"42001f", "42e01f", true},
		{"42001f", "4d001f", false},
		{"4d001f", "42e01f", true},
		{"4d001f", "42001f", false},
		{"4d001f", "4d0028", true},
		{"4d001f", "640028", false}, // Debian's Chromium accepts no high profile
		{"42e01f", "4d8028", true},  // main that keeps to baseline
		{"64001f", "4d0028", true},
		{"64001f", "640028", true},
		{"640c1f", "640c28", true},
		{"640c1f", "640028", false}, // may be interlaced
		{"640c1f", "42e01f", true},
		{"f4001f", "f4001f", false}, // 4:4:4
		{"", "42e01f", false},
		{"42e01f", "xyz", false},
	} {
		if got := decodes(c.accepted, c.sent); got != c.want {
			t.Errorf("a decoder of %s, a stream of %s: %v, want %v", c.accepted, c.sent, got, c.want)
		}
	}
}

func TestFormatsOfAPeer(t *testing.T) {
	t.Parallel()
	codec := func(mime, parameters string, payload webrtc.PayloadType) webrtc.RTPCodecParameters {
		return webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: mime, SDPFmtpLine: parameters}, PayloadType: payload,
		}
	}
	negotiated := []webrtc.RTPCodecParameters{
		codec("video/VP9", "profile-id=0", 98),
		codec("video/H264", "packetization-mode=0;profile-level-id=42e01f", 99),
		codec("video/h264", "level-asymmetry-allowed=1; Packetization-Mode=1; profile-level-id=4D001F", 102),
		codec("video/H264", "packetization-mode=1;profile-level-id=42e01f", 104),
		codec("video/VP8", "", 96),
	}
	list := formats(negotiated)
	for _, c := range []struct {
		codec   Codec
		profile string
		payload webrtc.PayloadType
		ok      bool
	}{
		{H264, "42e01f", 102, true}, // the peer's order
		{H264, "4d0028", 102, true},
		{H264, "640028", 0, false},
		{H264, "", 102, true}, // not known yet
		{VP8, "", 96, true},
	} {
		payload, ok := choose(list, c.codec, c.profile)
		if payload != c.payload || ok != c.ok {
			t.Errorf("%s %s: payload type %d %v, want %d %v", c.codec, c.profile, payload, ok, c.payload, c.ok)
		}
	}
	if Accepts(negotiated[:2], Info{}) || !Accepts(negotiated, Info{}) || Accepts(negotiated, Info{Codec: H264, Profile: "640028"}) {
		t.Error("Accepts disagrees with the formats")
	}
}
