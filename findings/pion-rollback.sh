#!/bin/bash
# pion/webrtc 4.2.26: an offer cannot be rolled back, although SDPTypeRollback exists.
#
# W3C WebRTC 4.4.1.4 and JSEP (RFC 9429, 4.1.10.2) let a peer withdraw its own offer with
# setLocalDescription({type: 'rollback'}), and "perfect negotiation" rests on it. pion rejects
# it in have-local-offer, without a text ("invalid SDP type") and with one ("invalid proposed
# signaling state transition").
#
# What to do: a pion peer must be the impolite one, and send an offer again that got lost.
#
# Output seen:
#   without a text: rejected
#   with a text: rejected
#   state: have-local-offer
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > go.mod <<'GO'
module rollback

go 1.26

require github.com/pion/webrtc/v4 v4.2.26
GO
cat > main.go <<'GO'
package main

import (
	"fmt"

	"github.com/pion/webrtc/v4"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	check(err)
	_, err = pc.CreateDataChannel("x", nil)
	check(err)
	offer, err := pc.CreateOffer(nil)
	check(err)
	check(pc.SetLocalDescription(offer))
	try := func(name, text string) {
		result := "accepted"
		if pc.SetLocalDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeRollback, SDP: text}) != nil {
			result = "rejected"
		}
		fmt.Println(name + ": " + result)
	}
	try("without a text", "")
	try("with a text", offer.SDP)
	fmt.Println("state:", pc.SignalingState())
}
GO
export GOFLAGS=-mod=mod
go mod tidy >/dev/null 2>&1
out=$(go run .)
echo "$out"
diff <(echo "$out") - <<'WANT'
without a text: rejected
with a text: rejected
state: have-local-offer
WANT
