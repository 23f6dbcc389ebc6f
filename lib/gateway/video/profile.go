package video

import (
	"encoding/hex"
	"strings"

	"github.com/pion/webrtc/v4"
)

// format is one of the codecs that a peer accepted.
type format struct {
	codec   Codec
	profile string // H.264: profile-level-id
	payload webrtc.PayloadType
}

// formats returns what of the negotiated codecs can carry a camera: VP8, and H.264 in packetization mode 1.
func formats(negotiated []webrtc.RTPCodecParameters) []format {
	var list []format
	for _, c := range negotiated {
		switch {
		case strings.EqualFold(c.MimeType, webrtc.MimeTypeVP8):
			list = append(list, format{codec: VP8, payload: c.PayloadType})
		case strings.EqualFold(c.MimeType, webrtc.MimeTypeH264) && parameter(c.SDPFmtpLine, "packetization-mode") == "1":
			profile := parameter(c.SDPFmtpLine, "profile-level-id")
			if profile == "" {
				profile = "42000a" // RFC 6184, section 8.1: baseline, level 1
			}
			list = append(list, format{codec: H264, profile: profile, payload: c.PayloadType})
		}
	}
	return list
}

// parameter returns a parameter of a=fmtp, "" if it is absent.
func parameter(line, name string) string {
	for part := range strings.SplitSeq(line, ";") {
		if key, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok && strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}

// choose returns the payload type that can carry a camera. An unknown profile goes by the codec alone.
func choose(list []format, codec Codec, profile string) (webrtc.PayloadType, bool) {
	for _, f := range list {
		if f.codec == codec && (codec != H264 || profile == "" || decodes(f.profile, profile)) {
			return f.payload, true
		}
	}
	return 0, false
}

// The profiles of H.264, annex A.
const (
	profileBaseline = 66
	profileMain     = 77
	profileHigh     = 100
)

// decodes reports whether a decoder of the profile accepted can decode a stream of the profile sent (profile-level-ids; levels are left
// to level-asymmetry-allowed). A constrained baseline stream is within all, a main one within high.
func decodes(accepted, sent string) bool {
	a, errA := hex.DecodeString(accepted)
	s, errS := hex.DecodeString(sent)
	if errA != nil || errS != nil || len(a) != 3 || len(s) != 3 {
		return false
	}
	// constraint_set1: also decodes as main; constraint_set0: also as baseline.
	constrained := s[0] == profileBaseline && s[1]&0x40 != 0 || s[0] == profileMain && s[1]&0x80 != 0
	switch a[0] {
	case profileBaseline:
		if a[1]&0x40 != 0 {
			return constrained
		}
		return constrained || s[0] == profileBaseline
	case profileMain:
		return constrained || s[0] == profileMain
	case profileHigh:
		if a[1]&0x0C == 0x0C { // constrained high: no interlace, no B pictures
			return constrained || s[0] == profileHigh && s[1]&0x0C == 0x0C
		}
		return constrained || s[0] == profileMain || s[0] == profileHigh
	}
	return false
}
