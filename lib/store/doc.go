// Package store writes the records of the stream to the database, each event exactly
// once, and dead-letters what can never be stored.
//
// # What becomes of a record
//
// Every record ends in one of three ways.
//
//   - ok: all of its events are durable, or were already.
//   - poison: it cannot be decoded, breaks a bound, or the database can never
//     take it. It goes to the dead letters with the reason, and counts as ok.
//   - retry: the database or the dead letters could not be reached, or time ran
//     out. The response names the first such record, and the event source delivers
//     again from there; what was stored after it is stored again, to no effect.
//
// # Dead letters
//
// A dead letter is a JSON object under the key
// poison/<yyyy>/<mm>/<dd>/<shard>-<sequence number>.json, the day being that of
// the record's arrival in UTC; a part of an aggregated record has its place
// appended to the sequence number, as in …-3.json. The same record always has
// the same key:
//
//	{"reason":"…","stream":"arn:…","shard":"shardId-000000000000","sequence_number":"495903…",
//	 "partition_key":"gw-1","arrival":"2026-11-23T09:08:33.123Z","data":"<base64>"}
package store
