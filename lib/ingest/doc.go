// Package ingest serves POST /v1/telemetry: it reads a gateway's request, validates
// every event in it, and publishes the valid ones as one batch.
//
// The function behind the route receives the request as an API Gateway event
// (HTTP API, payload format 2.0): a JSON object that holds the gateway's body
// as a string. That makes JSON inside JSON, and at a hundred thousand events a
// second the two parsers are most of what the function does. Both are
// therefore written for their one shape here: single pass, no allocation per
// event, strict (RFC 8259), and compared with encoding/json by a differential fuzz
// target. What they share with other decoders is in lib/jsonscan; the parser of the body
// has a loop of its own, because it also reads a body that is still escaped as a string
// of the payload, and because it computes a number while it reads the digits.
//
// # Request
//
//	POST /v1/telemetry
//	Content-Type: application/json             or application/x-protobuf
//	Content-Encoding: identity | gzip | zstd
//
//	{"events":[{"device":"press-1","metric":"temperature",
//	            "time":"2026-11-23T09:08:33.123456Z","value":71.25,"quality":"good"}]}
//
// time is RFC 3339 with any offset, its fraction truncated to the microsecond,
// or an integer of microseconds since 1970-01-01T00:00:00Z. quality is
// optional. value may be true or false, which are 1 and 0, and null for a bad reading
// without a value, which is NaN in the batch. A word in place of a value that is not JSON,
// such as NaN, rejects its event and no other. An application/x-protobuf body is a record (see lib/telemetry)
// whose gateway, site, trace and time of receipt are ignored: they come from
// the token and the platform.
//
// # Response
//
//	202 {"accepted":998,"rejected":2,"errors":[{"index":3,"code":"missing","reason":"value: missing"}]}
//
// An event whose device or metric is new is rejected when its gateway has no room for
// names, as far as ingest knows: see Names.
//
// errors lists the first 100 rejected events; "errors_truncated":true is added if there
// were more. The counts are always exact. Every other response is a problem document: 400
// if the body as a whole is not valid (nothing is published), 401 if the token has
// expired or is denied, 403 without a gateway's identity, 413, 415, 422 if no event was accepted, 503
// with Retry-After if the stream rejects the records. A request may always be repeated:
// an event has an identity and is stored once.
package ingest
