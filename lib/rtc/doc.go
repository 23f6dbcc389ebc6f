// Package rtc defines what the peers of the live path say to each other: the messages of the
// signaling service with their strict decoding, and the frames of the data channels.
//
// The protocol of the messages is described in docs/SIGNALING_PROTOCOL.md. The structs of
// this package are its only source: web/src/rtc/protocol.ts is generated from them, and a
// test fails when it is stale.
//
// Messages are JSON objects of at most MaxMessageBytes. Decoding is strict where two
// decoders could read a text differently (repeated members, wrong types, invalid UTF-8) and
// lenient where a later version adds something: unknown members are skipped. Every decoding
// error is an *Error with one of the codes of the protocol.
package rtc

//go:generate go run ./typescript -o ../../web/src/rtc/protocol.ts
