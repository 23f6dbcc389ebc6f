// Package store writes the records of the stream to the database, each event exactly
// once, and dead-letters records that cannot be stored.
//
// # Outcome of a record
//
// Every record ends in one of three ways.
//
//   - ok: all of its events are durable, or were before.
//   - poison: it cannot be decoded, or the database rejects it for good. It is
//     dead-lettered with the reason, and counts as ok.
//   - retry: the database or the dead letters were unavailable, or time ran out. The
//     response names the first such record, and the event source mapping delivers
//     from there on again; storing the records after it a second time changes nothing.
//
// An event that can never be stored affects no other: its time is out of range, its value
// is not finite, or its device or metric is new and its gateway has no room for names. The
// other events of its record are stored, and the record is dead-lettered with a list of
// the rejected ones. Storing the dead letter's data again stores what has become possible.
//
// # Dead letters
//
// A dead letter is a JSON object under the key
// poison/<yyyy>/<mm>/<dd>/<shard>-<sequence number>.json, where the day is that of
// the record's arrival in UTC. For a part of an aggregated record its index is
// appended to the sequence number, as in …-3.json. The same record always has
// the same key:
//
//	{"reason":"…","stream":"arn:…","shard":"shardId-000000000000","sequence_number":"495903…",
//	 "partition_key":"gw-1","arrival":"2026-11-23T09:08:33.123Z","data":"<base64>",
//	 "rejected":[{"event":3,"reason":"…"}]}
//
// rejected is left out when the whole record, or part of one, is poison.
package store
