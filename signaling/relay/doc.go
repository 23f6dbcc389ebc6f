// Package relay connects the tasks of the signaling service: the members of a room may be
// on several tasks, and a message reaches a peer wherever its socket is. It implements
// hub.Relay, in one process or over Redis or Valkey. Why it is built so is in
// docs/adr/0048-signaling-relay.md.
//
// # Without Redis
//
// All members are on this task. Nothing waits, and there are no goroutines.
//
// # Over Redis
//
// Each task has a view of the rooms in which it has members. In-task traffic needs the
// view alone; Redis connects the views.
//
//   - insighthub:signaling:room:SITE is a hash: the members by peer id, each with its task,
//     and a version (field #), which each change raises by one. A script applies a change
//     and reads the version in one step; the version starts with the clock of Redis, so
//     that a room that was lost with its server and is created again is seen as another.
//   - insighthub:signaling:inbox:TASK is a stream: the messages to the peers of the task and
//     the changes of rooms in which it has members. It exists as long as the task renews
//     its expiry, so it is the heartbeat too, and XADD NOMKSTREAM to a dead task fails.
//
// A change that a task missed shows as a gap in the room's versions, at the latest when the
// versions are compared every CheckEvery; the view is then read anew from the hash, and
// events follow from the difference between the two. Each message carries a count by sender
// and receiver, so that lost ones are counted and logged.
//
// Every command has one key, and none needs a scan, a transaction or a subscription: the
// commands are EVALSHA and EVAL (HGET, HSET, HDEL, HLEN, HGETALL, DEL, PEXPIRE, TIME), XADD,
// XREAD BLOCK, XTRIM, HGET, EXISTS, PEXPIRE and DEL, which clusters and ElastiCache
// Serverless have.
package relay
