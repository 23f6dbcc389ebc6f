// Package hub has the sessions of the signaling service: who is connected, which rooms they
// have joined, and what they send to each other, in the protocol of lib/rtc.
//
// One goroutine, the reader of its socket, owns the state of a session; what others have for
// the session goes into its outbox, which one goroutine at a time writes to the socket.
// See docs/SIGNALING_PROTOCOL.md and docs/adr/0047-signaling-service.md.
package hub
