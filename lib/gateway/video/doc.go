// Package video sends a gateway's cameras to many viewers over WebRTC, each camera encoded once.
//
// A Source delivers frames: a camera's RTP or RTSP, a file, the test pattern. It runs only while someone watches. Cameras hands each
// frame to the viewers' queues and never waits for one: a viewer that falls behind skips to the next key frame, a viewer whose bandwidth
// is short gets the frames that others refer to, then key frames only. Nothing is encoded again.
//
// A viewer is one video track of a peer connection. Show chooses the camera that it carries; the codec may change with it, on the
// same SSRC, as far as the peer accepted that codec and profile. Key frames are asked of the source at a start, at PLI (RFC 4585) and FIR
// (RFC 5104); a source that cannot is helped out with the frames since its last key frame. H.264 parameter sets precede every IDR
// picture, whatever the source does.
//
// Sizes are bytes, rates bits per second, times those of the gateway's clock.
package video
