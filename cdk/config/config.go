// Package config holds what differs between the stages of the platform, as
// plain typed values that are checked before anything is synthesised.
//
// It imports nothing of the CDK, so that other programs can read a stage's
// settings without the CDK's runtime.
package config

import "time"

// StageName names one deployment of the whole platform.
type StageName string

// The stages. Each is deployed by itself, as a set of stacks whose names start
// with InsightHub-<Stage>-.
const (
	Dev     StageName = "dev"
	Staging StageName = "staging"
	Prod    StageName = "prod"
)

// Stage is everything that one deployment of the platform may choose.
type Stage struct {
	Name StageName
	// Account and Region pin the stacks. When both are empty the stacks fit any
	// account and region: those of the credentials that deploy them.
	Account, Region string
	// AvailabilityZones must be named when Account and Region are, because the
	// CDK would otherwise look them up or, offline, invent some.
	AvailabilityZones []string
	// Removal says what happens to stores of data when their stack goes away.
	Removal Removal

	Stream  Stream
	Ingest  Ingest
	Store   Store
	Bridge  Bridge
	Detect  Detect
	Migrate Function
	// Rollup sizes the function that keeps the events by minute and hour and drops what is
	// past its Retention; it runs every minute.
	Rollup     Function
	Retention  Retention
	API        API
	Audit      Audit
	Tokens     Tokens
	Database   Database
	Network    Network
	Monitoring Monitoring
	Log        Log
	// AlarmEmail gets the alarms; when empty they only show in CloudWatch.
	AlarmEmail string
}

// Removal says what happens to a store of data when its stack is deleted.
type Removal string

// Keep leaves the data; Destroy deletes it with its stack.
const (
	Keep    Removal = "keep"
	Destroy Removal = "destroy"
)

// StreamMode is Kinesis's capacity mode.
type StreamMode string

// Provisioned has a fixed number of shards, each 1 MB/s and 1,000 records/s in
// and 2 MB/s out. OnDemand follows the load and costs more per byte.
const (
	Provisioned StreamMode = "provisioned"
	OnDemand    StreamMode = "on-demand"
)

// Stream sizes the telemetry stream.
type Stream struct {
	Mode StreamMode
	// Shards is for Provisioned only.
	Shards int
	// Retention is how long a record can be read again, 24 hours to 365 days.
	Retention time.Duration
}

// Function sizes one Lambda function.
type Function struct {
	// MemoryMB also buys processor time: 1,769 MB is one whole vCPU.
	MemoryMB int
	// Timeout ends an invocation, at most 15 minutes.
	Timeout time.Duration
	// ReservedConcurrency bounds the function's environments and keeps that
	// many free for it; 0 sets none.
	ReservedConcurrency int
}

// Compression is that of the records on the stream.
type Compression string

// NoCompression spends about 15 bytes an event, Zstd about 6 and some
// processor time in the ingest function.
const (
	NoCompression Compression = "none"
	Zstd          Compression = "zstd"
)

// Ingest configures the function that accepts events.
type Ingest struct {
	Function
	Compression Compression
	// RetentionDays is how far back an event's time may lie.
	RetentionDays int
	// MaxFuture is how far ahead of the platform's clock an event's time may lie.
	MaxFuture time.Duration
	// MaxInflatedBytes bounds a request's body after decompression.
	MaxInflatedBytes int
}

// Retention says for how many days the database keeps events, their minutes (count, sum,
// min, max, first and last by quality) and their hours; 0 is for ever. Each is kept at
// least as long as what it is made of, and events as long as ingest accepts them.
type Retention struct {
	EventDays, MinuteDays, HourDays int
}

// Store configures the function that writes the stream into the database.
type Store struct {
	Function
	Consumer
	// Connections is the number of database connections of one environment.
	Connections int
}

// Bridge configures the function that reduces the stream to figures.
type Bridge struct {
	Function
	Consumer
	// KPIWindow is the length of the windows of event time over which figures are
	// reduced, 1 s to an hour. After a change the figures begin anew.
	KPIWindow time.Duration
	// Lateness is how long a window waits for late events, 1 s to an hour.
	Lateness time.Duration
}

// Detect configures the function that finds anomalies.
type Detect struct {
	Function
	Consumer
	// MaxSeries is how many series of a shard are scored, at most 30,000. Each takes
	// about 4 KB of the function's memory, and up to 2 KB of what is saved with each
	// invocation.
	MaxSeries int
}

// Consumer says how Lambda reads the stream for one function.
type Consumer struct {
	// BatchSize is the most records of one invocation, at most 10,000.
	BatchSize int
	// Window waits that long for a batch to fill, at most 5 minutes; 0 invokes
	// as soon as there is anything, and batches grow by themselves under load.
	Window time.Duration
	// Parallelization is the number of concurrent invocations per shard, 1 to 10.
	Parallelization int
	// Retries bounds how often a failing batch is tried again, 1 to 10,000.
	Retries int
	// MaxRecordAge bounds for how long it is tried again, 1 minute to 7 days.
	MaxRecordAge time.Duration
	// EnhancedFanOut gives the consumer its own 2 MB/s of each shard and pushes
	// records within about 70 ms instead of 200, for a price per shard and hour.
	EnhancedFanOut bool
	// KeepsShardState says that the function remembers things of its shard from
	// one invocation to the next, and so must be alone on it.
	KeepsShardState bool
}

// Audit configures the function that looks at the platform from outside.
type Audit struct {
	Function
	// Every is how long from one audit to the next, a minute at least.
	Every time.Duration
	// LatencyBudget is what the 99th percentile of single reads may take, from Lambda
	// over the API's public address.
	LatencyBudget time.Duration
	// Lock holds for all that the audit writes, the heads of the audit trail above all.
	Lock Lock
}

// API configures the HTTP API's front.
type API struct {
	// Authorizer sizes the function that checks tokens.
	Authorizer Function
	// Access sizes the function that gives tokens out. A password costs it 19 MiB and
	// some tens of milliseconds of a whole processor.
	Access Function
	// Resources sizes the function behind everything else.
	Resources Function
	// Refusals sizes the function that writes refused tokens into the audit trail.
	Refusals Function
	// ICE is where peers find each other; it may be empty.
	ICE ICE
	// AuthorizerCache is how long its answer for a token is kept, at most an hour.
	AuthorizerCache time.Duration
	// RequestsPerSecond and Burst throttle all clients together.
	RequestsPerSecond, Burst int
}

// ICE names the servers by which WebRTC peers find each other.
type ICE struct {
	// STUN and TURN are addresses such as stun:stun.example.com:3478.
	STUN, TURN []string
	// SecretARN is the complete ARN of the secret that the TURN servers share with the
	// platform; required with TURN.
	SecretARN string
}

// Tokens configures whose tokens are accepted, and with which keys the platform
// signs its own.
type Tokens struct {
	// Issuer names the platform in its tokens. Empty is the API's own address;
	// name it when clients reach the API by another, for example "https://api.example.com".
	Issuer string
	// Audience is what the tokens are for.
	Audience string
	// Keys are made in KMS. The first signs, all verify. See docs/adr/0012.
	Keys []SigningKey
	// Trusted are issuers of other houses whose tokens are accepted too.
	Trusted []TrustedIssuer
}

// SigningKey is one key in KMS.
type SigningKey struct {
	// Name is unique for ever in the stage: a key with a new name is a new key.
	Name string
	// NotAfter is until when a key that no longer signs verifies; zero is without end.
	NotAfter time.Time
}

// TrustedIssuer is an OpenID Connect issuer, such as a Cognito user pool.
type TrustedIssuer struct {
	// Issuer is the iss of its tokens, JWKSURI the https address of its keys.
	Issuer, JWKSURI string
	// Audience is their aud; of tokens without one, as Cognito's access tokens, their client_id.
	Audience string
	// Algorithms are those that it signs with, such as "RS256".
	Algorithms []string
	// GrantsClaim names the claim that holds "site:role", for example "cognito:groups".
	GrantsClaim string
}

// DatabaseKind says whose database the events go to.
type DatabaseKind string

// OwnInstance runs TimescaleDB on an EC2 instance of the stack: the managed
// PostgreSQL services of AWS do not offer the extension. ExistingDatabase takes
// any other, for example of a managed Timescale service, by its secret.
const (
	OwnInstance      DatabaseKind = "own-instance"
	ExistingDatabase DatabaseKind = "existing"
)

// Database says where events are stored.
type Database struct {
	Kind DatabaseKind
	// SecretARN is the complete ARN of a secret with the database's address and
	// password; for ExistingDatabase only.
	SecretARN string
	// InstanceType is that of an arm64 instance, for example "t4g.medium".
	// This and what follows is for OwnInstance only.
	InstanceType string
	// VolumeGiB, VolumeIOPS and VolumeMBps size the gp3 data volume.
	VolumeGiB, VolumeIOPS, VolumeMBps int
	// BackupDays is how long daily snapshots of the volume are kept; 0 takes none.
	BackupDays int
}

// MaxDatabaseConnections is how many connections the database of the stack takes.
const MaxDatabaseConnections = 400

// Egress is how the private subnets reach the internet: the database's
// instance installs its packages through it and functions reach AWS's APIs.
type Egress string

// A NAT instance costs about 7 dollars a month with its address and stands
// still when it fails; a NAT gateway about 33 dollars and 0.045 per GB, and does not.
const (
	NATInstance Egress = "nat-instance"
	NATGateway  Egress = "nat-gateway"
)

// Network configures the VPC, which exists only with a database in it.
type Network struct {
	// CIDR is the VPC's IPv4 range, /16 to /24.
	CIDR   string
	Egress Egress
}

// Monitoring configures the managed Prometheus.
type Monitoring struct {
	// RetentionDays is how long samples are kept, 1 to 1,095.
	RetentionDays int
}

// LogLevel is the least severe level that functions log.
type LogLevel string

// The levels of log/slog, in lower case.
const (
	Debug LogLevel = "debug"
	Info  LogLevel = "info"
	Warn  LogLevel = "warn"
	Error LogLevel = "error"
)

// Log configures logging of functions and of the API's accesses.
type Log struct {
	Level LogLevel
	// RetentionDays is one of the periods that CloudWatch Logs offers.
	RetentionDays int
}
