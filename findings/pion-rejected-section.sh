#!/bin/bash
# pion/webrtc 4.2.26: an answer that rejects one of the offered sections fails as a whole.
#
# An answerer without a common codec for audio sets the port of that section to 0 (RFC 3264,
# section 6; RFC 8829, section 5.3.1), and the rest of the session goes on without it. So does
# pion as the answerer. As the offerer, with a track to send in that section, its
# SetRemoteDescription returns an error for such an answer, though it comes from pion itself,
# and the other sections' media do not start.
#
# What to do: who answers accepts the audio and does not use it (register its codec).
#
# Output seen:
#   m=audio 0, m=video 9: unable to start track, codec is not supported by remote
#   m=audio 9, m=video 9: no error
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > go.mod <<'GO'
module rejected

go 1.26

require github.com/pion/webrtc/v4 v4.2.26
GO
cat > main.go <<'GO'
package main

import (
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// outcome sets the answer of a peer that knows VP8, and Opus or not, at a peer that offers both.
func outcome(opus bool) string {
	offerer := must(webrtc.NewPeerConnection(webrtc.Configuration{}))
	defer offerer.Close()
	for _, mime := range []string{webrtc.MimeTypeOpus, webrtc.MimeTypeVP8} {
		track := must(webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, mime, "camera"))
		must(offerer.AddTrack(track))
	}
	media := &webrtc.MediaEngine{}
	check(media.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}, PayloadType: 96,
	}, webrtc.RTPCodecTypeVideo))
	if opus {
		check(media.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, PayloadType: 111,
		}, webrtc.RTPCodecTypeAudio))
	}
	answerer := must(webrtc.NewAPI(webrtc.WithMediaEngine(media)).NewPeerConnection(webrtc.Configuration{}))
	defer answerer.Close()
	offer := must(offerer.CreateOffer(nil))
	check(offerer.SetLocalDescription(offer))
	check(answerer.SetRemoteDescription(offer))
	answer := must(answerer.CreateAnswer(nil))
	check(answerer.SetLocalDescription(answer))
	var sections []string
	for line := range strings.Lines(answer.SDP) {
		if strings.HasPrefix(line, "m=") {
			sections = append(sections, strings.Join(strings.Fields(line)[:2], " "))
		}
	}
	result := "no error"
	if err := offerer.SetRemoteDescription(answer); err != nil {
		result = err.Error()
	}
	return strings.Join(sections, ", ") + ": " + result
}

func main() {
	fmt.Println(outcome(false))
	fmt.Println(outcome(true))
}
GO
go mod tidy 2>/dev/null
go run . | tee output
diff output - <<'TEXT'
m=audio 0, m=video 9: unable to start track, codec is not supported by remote
m=audio 9, m=video 9: no error
TEXT
