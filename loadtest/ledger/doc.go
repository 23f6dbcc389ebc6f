// Package ledger follows events from the reading of a value to the moment at which a person
// or a program can see it, and prints where the time goes as a budget table: through the
// cloud (API, stream, store, database, API), and straight from the gateway to a browser.
//
// The cloud's way is measured on a local stack, whose stream is an emulator: what Kinesis
// itself takes is a line of its own, with the values that AWS publishes.
package ledger
