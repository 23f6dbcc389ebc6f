// Package kinesis puts records on an Amazon Kinesis data stream and decodes the events of
// its event source mappings.
//
// # Writing
//
// A Producer puts records with PutRecords and retries only the entries that the stream
// rejected. The SDK must not retry as well: NewClient returns a client that does not.
//
// # Reading
//
// DecodeEvent decodes the payload of an event source mapping:
//
//	{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"gw-1",
//	  "sequenceNumber":"495903…","data":"AQID","approximateArrivalTimestamp":1545084650.987},
//	  "eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000006:495903…",
//	  "eventName":"aws:kinesis:record","invokeIdentityArn":"arn:…","awsRegion":"eu-west-1",
//	  "eventSourceARN":"arn:aws:kinesis:…"}]}
//
// Response encodes the response that names the records to deliver again.
//
// # Aggregated records
//
// Other producers may pack several user records into one record of
// the stream, in the format of the Kinesis Producer Library:
//
//	F3 89 9A C2 | message AggregatedRecord | MD5 of the message
//
// with, in proto2,
//
//	message AggregatedRecord {
//	  repeated string partition_key_table     = 1;
//	  repeated string explicit_hash_key_table = 2;
//	  repeated Record records                 = 3;
//	}
//	message Record {
//	  required uint64 partition_key_index     = 1; // index into the table; present even when 0
//	  optional uint64 explicit_hash_key_index = 2;
//	  required bytes  data                    = 3;
//	  repeated Tag    tags                    = 4; // skipped
//	}
//
// Deaggregate unpacks it and AppendAggregate packs it. Data that begins with the magic number
// and does not end with the MD5 is an error, unlike in AWS's readers, which deliver it as it is:
// no batch begins so.
package kinesis
