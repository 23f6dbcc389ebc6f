// Package gateway publishes a gateway's events and cameras live to viewers, over WebRTC and past the
// cloud. docs/LIVE.md describes what goes over the wire.
//
// A Publisher answers the peer connections that viewers offer through the signaling service (package
// lib/gateway/signal has the client). Publish hands events over and never waits: each viewer has a
// bounded queue of its own in which the newest reading of each series wins, so a viewer on a bad line
// gets fewer readings but no old ones, and slows nobody else. What was published lately is remembered,
// for viewers that ask for the last minute.
//
// Who may view is the signaling service's decision: it introduces only peers whose token grants the
// site, and reports a peer as left when its right has ended. The Publisher then closes the connection.
package gateway
