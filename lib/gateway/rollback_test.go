package gateway_test

import (
	"testing"

	"github.com/pion/webrtc/v4"
)

// TestRollback: pion cannot withdraw an offer, which is why the gateway sends one again that is not
// answered. When this fails, it can, and viewer.repeat may roll back instead.
func TestRollback(t *testing.T) {
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	if _, err := pc.CreateDataChannel("x", nil); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	for name, rollback := range map[string]webrtc.SessionDescription{
		"as in the standard": {Type: webrtc.SDPTypeRollback},
		"with a text":        {Type: webrtc.SDPTypeRollback, SDP: offer.SDP},
	} {
		if err := pc.SetLocalDescription(rollback); err == nil {
			t.Errorf("%s: the rollback was accepted", name)
		}
	}
	if s := pc.SignalingState(); s != webrtc.SignalingStateHaveLocalOffer {
		t.Errorf("the state is %v", s)
	}
}
