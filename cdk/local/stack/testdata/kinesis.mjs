// Writes to and reads from the Kinesis at the address in argv[3] with the AWS SDK for
// JavaScript in the folder argv[2], with its defaults. Prints the number of records read.
import { createRequire } from "node:module";
import assert from "node:assert/strict";

const require = createRequire(`${process.argv[2]}/package.json`);
const sdk = require("@aws-sdk/client-kinesis");
const client = new sdk.KinesisClient({
  endpoint: process.argv[3], region: "us-east-1", credentials: { accessKeyId: "local", secretAccessKey: "local" },
});
const send = (name, input) => client.send(new sdk[`${name}Command`](input));

const StreamName = "js";
await send("CreateStream", { StreamName, ShardCount: 1 });
const text = (i) => `record ${i}`;

// More at once than a connection has streams of HTTP/2.
await Promise.all(Array.from({ length: 400 }, (_, i) =>
  send("PutRecord", { StreamName, PartitionKey: "k", Data: new TextEncoder().encode(text(i)) })));
// The largest request: 5 MiB of data.
const put = await send("PutRecords", {
  StreamName, Records: Array.from({ length: 5 }, () => ({ PartitionKey: "k", Data: new Uint8Array((1 << 20) - 1024).fill(7) })),
});
assert.equal(put.FailedRecordCount, 0);
await assert.rejects(send("PutRecord", { StreamName: "absent", PartitionKey: "k", Data: new Uint8Array(1) }), { name: "ResourceNotFoundException" });

const { Shards } = await send("ListShards", { StreamName });
let { ShardIterator } = await send("GetShardIterator", { StreamName, ShardId: Shards[0].ShardId, ShardIteratorType: "TRIM_HORIZON" });
const seen = new Set();
let large = 0;
for (let calls = 0; seen.size + large < 405 && calls < 100; calls++) {
  const got = await send("GetRecords", { ShardIterator });
  for (const r of got.Records) {
    if (r.Data.length > 1000) large++;
    else seen.add(new TextDecoder().decode(r.Data));
  }
  ShardIterator = got.NextShardIterator;
}
for (let i = 0; i < 400; i++) assert(seen.has(text(i)), text(i));
console.log(`${seen.size + large} records over HTTP/2`);
client.destroy();
