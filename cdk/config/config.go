// Package config defines the settings of each stage of the platform and validates
// them before anything is synthesised.
//
// It does not import the CDK, so that other programs can read a stage's settings
// without the CDK's runtime.
package config

import "time"

// StageName names one deployment of the whole platform.
type StageName string

// The stages. Each is deployed separately, as a set of stacks whose names start
// with InsightHub-<Stage>-.
const (
	Dev     StageName = "dev"
	Staging StageName = "staging"
	Prod    StageName = "prod"
)

// Stage is the settings of one deployment of the platform.
type Stage struct {
	Name StageName
	// Account and Region pin the stacks. When both are empty the stacks can be
	// deployed to any account and region, which the caller's credentials decide.
	Account, Region string
	// Zones are the letters of the two availability zones of the network, in which the
	// database's volume and machine are: "a" is eu-central-1a in that region. They cannot be
	// changed once the stage is deployed: a volume and a subnet stay in their zone. An
	// account may lack a zone with that letter: aws ec2 describe-availability-zones.
	Zones []string
	// AvailabilityZones are required when Account and Region are set, and have the letters
	// of Zones: without them the CDK would look them up or, offline, invent some.
	AvailabilityZones []string
	// Removal is what happens to stored data when its stack is deleted.
	Removal Removal
	// Encryption is with whose key data is encrypted. A deployed stage can change to
	// CustomerKey, and not back: what the key encrypted needs it.
	Encryption Encryption
	// AccountConcurrency is the account's limit of concurrent executions in the region, less
	// what others in the account reserve. A new account has a limit of 10, of which nothing
	// can be reserved: with 0, in dev only, no function has a reserved concurrency.
	AccountConcurrency int

	Stream Stream
	Ingest Ingest
	Store  Store
	Bridge Bridge
	Detect Detect
	// Clock sizes the function that puts ticks on the stream; it runs every minute, for as
	// long as that.
	Clock   Function
	Migrate Function
	// Rollup sizes the function that aggregates events by minute and hour and deletes
	// what is older than Retention; it runs every minute.
	Rollup     Function
	Retention  Retention
	API        API
	Audit      Audit
	Live       Live
	Tokens     Tokens
	Database   Database
	Network    Network
	Monitoring Monitoring
	Log        Log
	// AlarmEmail and AlarmTopicARN are whom alarms, alerts and critical anomalies notify: an
	// e-mail address, and an existing SNS topic of the same account and region, such as that
	// of a chat or an incident tool, to which aps.amazonaws.com and
	// cloudwatch.amazonaws.com may publish. staging and prod want one of them. They are
	// usually given to the synthesis, not written here: docs/DEPLOYMENT.md.
	AlarmEmail, AlarmTopicARN string
}

// Removal is what happens to stored data when its stack is deleted.
type Removal string

// Keep retains the data; Destroy deletes it with its stack.
const (
	Keep    Removal = "keep"
	Destroy Removal = "destroy"
)

// Encryption is with whose key buckets, the stream, queues, secrets, logs and the topic are
// encrypted.
type Encryption string

// AWSManaged encrypts with keys of AWS; the topic, which holds no telemetry, is not
// encrypted. CustomerKey encrypts all of it with a key of the account, whose policy and use
// (CloudTrail) the account controls: 1 dollar a month, 0.03 per 10,000 requests.
const (
	AWSManaged  Encryption = "aws-managed"
	CustomerKey Encryption = "customer-key"
)

// StreamMode is Kinesis's capacity mode.
type StreamMode string

// Provisioned has a fixed number of shards, each of which accepts 1 MB/s and 1,000
// records/s and delivers 2 MB/s. OnDemand scales with the load and costs more per byte.
const (
	Provisioned StreamMode = "provisioned"
	OnDemand    StreamMode = "on-demand"
)

// Stream sizes the telemetry stream.
type Stream struct {
	Mode StreamMode
	// Shards is for Provisioned only.
	Shards int
	// MaxShards is for OnDemand only: the greatest number of shards for which the consumers
	// have concurrency and database connections. With more, they fall behind, and alarms fire.
	MaxShards int
	// Retention is how long a record can be read, 24 hours to 365 days.
	Retention time.Duration
}

// Function sizes one Lambda function.
type Function struct {
	// MemoryMB decides the processor time too: 1,769 MB come with one whole vCPU.
	MemoryMB int
	// Timeout ends an invocation, at most 15 minutes.
	Timeout time.Duration
	// ReservedConcurrency is the greatest number of concurrent invocations, which are
	// reserved for the function: no other function can use them up, nor can it use up
	// what is left for the others.
	ReservedConcurrency int
	// Connections is the number of database connections of one environment, 0 for a function
	// that does not use the database.
	Connections int
}

// Compression is how the records on the stream are compressed.
type Compression string

// NoCompression takes about 15 bytes an event; Zstd takes about 6, and processor
// time in the ingest function.
const (
	NoCompression Compression = "none"
	Zstd          Compression = "zstd"
)

// Ingest configures the function that accepts events.
type Ingest struct {
	Function
	Compression Compression
	// RetentionDays is the greatest age of an event, by its time.
	RetentionDays int
	// MaxFuture is how far an event's time may be ahead of the platform's clock.
	MaxFuture time.Duration
	// MaxInflatedBytes is the greatest size of a request's body after decompression.
	MaxInflatedBytes int
}

// Retention is for how many days the database stores events and their aggregates
// by minute and by hour (count, sum, min, max, first and last for each quality); 0 is
// without limit. Aggregates are stored at least as long as what they are computed
// from, and events at least as long as ingest accepts them.
type Retention struct {
	EventDays, MinuteDays, HourDays int
	// AccessDays is for how many days the record of who read what is stored, at least 1.
	AccessDays int
}

// Store configures the function that writes the stream into the database.
type Store struct {
	Function
	Consumer
}

// Bridge configures the function that computes KPIs from the stream.
type Bridge struct {
	Function
	Consumer
	// KPIWindow is the length of the windows of event time over which KPIs are
	// computed, 1 s to 1 h. A change resets the state of every shard.
	KPIWindow time.Duration
	// Lateness is how long a window waits for late events, 1 s to 1 h.
	Lateness time.Duration
}

// Detect configures the function that detects anomalies.
type Detect struct {
	Function
	Consumer
	// MaxSeries is how many series of a shard are scored, at most 30,000. Each takes
	// about 4 KB of the function's memory, and up to 2 KB of the state that each
	// invocation saves.
	MaxSeries int
}

// Consumer configures the event source mapping of a function that reads the stream.
type Consumer struct {
	// BatchSize is the greatest number of records of one invocation, at most 10,000.
	BatchSize int
	// Window is how long Lambda waits for a batch to fill, at most 5 minutes. With 0 it
	// invokes as soon as there is a record; under load batches grow nevertheless.
	Window time.Duration
	// Parallelization is the number of concurrent invocations per shard, 1 to 10.
	Parallelization int
	// Retries is how often a failed batch is retried, 1 to 10,000.
	Retries int
	// MaxRecordAge is the age at which a record of a failed batch is no longer retried,
	// 1 minute to 7 days.
	MaxRecordAge time.Duration
	// EnhancedFanOut gives the consumer 2 MB/s of each shard for itself and delivers
	// records within about 70 ms instead of 200, for a price per shard and hour.
	EnhancedFanOut bool
	// KeepsShardState says that the function carries a state of its shard from one
	// invocation to the next, so that no two invocations may run on a shard at once.
	KeepsShardState bool
}

// Audit configures the scheduled self-check of the platform from outside.
type Audit struct {
	Function
	// Every is the interval between self-checks, at least a minute.
	Every time.Duration
	// LatencyBudget is the limit of the 99th percentile of the time that single reads
	// take, from Lambda over the API's public address.
	LatencyBudget time.Duration
	// TrailMonths is for how many whole months after its own a month stays in the audit trail of the
	// database; then it is moved to the archive, the bucket of the self-check. 0: for ever.
	TrailMonths int
	// Lock protects all that the self-check writes, above all the heads of the audit
	// trail.
	Lock Lock
}

// API configures the HTTP API and its functions.
type API struct {
	// Authorizer sizes the function that verifies tokens.
	Authorizer Function
	// Access sizes the function that issues tokens. Verifying a password takes 19 MiB
	// and some tens of milliseconds of a whole processor.
	Access Function
	// Resources sizes the function that serves everything else.
	Resources Function
	// Refusals sizes the function that writes rejected tokens to the audit trail.
	Refusals Function
	// ICE names the servers for WebRTC; it may be empty.
	ICE ICE
	// AuthorizerCache is how long API Gateway caches the authorizer's response for a
	// token, at most an hour.
	AuthorizerCache time.Duration
	// RequestsPerSecond and Burst are what the account leaves for this API, of its quota of
	// 10,000 and 5,000 in a region: the limits of all routes together are within them.
	RequestsPerSecond, Burst int
	// Throttles are the limits of the single routes.
	Throttles Throttles
}

// ICE names the servers by which WebRTC peers establish connections.
type ICE struct {
	// STUN and TURN are URIs such as stun:stun.example.com:3478 (RFC 7064, RFC 7065).
	STUN, TURN []string
	// SecretARN is the complete ARN of the secret that the TURN servers share with the
	// platform; required with TURN.
	SecretARN string
}

// Tokens configures which issuers' tokens are accepted, and with which keys the
// platform signs its own.
type Tokens struct {
	// Issuer is the iss of the platform's tokens. Empty is the API's own URL; set it
	// when clients use another, for example "https://api.example.com".
	Issuer string
	// Audience is the aud of the platform's tokens.
	Audience string
	// Keys are created in KMS. The first signs, all verify. See docs/adr/0012.
	Keys []SigningKey
	// Trusted are external issuers whose tokens are accepted too.
	Trusted []TrustedIssuer
}

// SigningKey is one key in KMS.
type SigningKey struct {
	// Name must never be used twice in a stage: another name creates another key.
	Name string
	// NotAfter is when a key that no longer signs stops verifying; zero is never.
	NotAfter time.Time
}

// TrustedIssuer is an OpenID Connect issuer, such as a Cognito user pool.
type TrustedIssuer struct {
	// Issuer is the iss of its tokens, JWKSURI the https URL of its keys.
	Issuer, JWKSURI string
	// Audience is the aud of its tokens, or the client_id of tokens without aud, such as
	// Cognito's access tokens.
	Audience string
	// Algorithms are those that it signs with, such as "RS256".
	Algorithms []string
	// GrantsClaim names the claim that holds "site:role", for example "cognito:groups".
	GrantsClaim string
}

// DatabaseKind says which database the events are written to.
type DatabaseKind string

// OwnInstance runs TimescaleDB on an EC2 instance of the stack: the managed
// PostgreSQL services of AWS do not offer the extension. ExistingDatabase uses
// any other database, for example of a managed Timescale service, by its secret.
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
	// KeepInstance is for the step from OwnInstance to ExistingDatabase: the functions use
	// the existing database, and the instance, its volume and its network stay until a later
	// deployment without it.
	KeepInstance bool
	// InstanceType is an arm64 instance type, for example "t4g.medium".
	// This field and those below are for an instance, own or kept.
	InstanceType string
	// Image is any text, such as a date. The image of the next machine is the newest one at
	// the first deployment with this text.
	Image string
	// VolumeGiB, VolumeIOPS and VolumeMBps size the gp3 data volume.
	VolumeGiB, VolumeIOPS, VolumeMBps int
	// CustomerKey encrypts the volume with the key of a stage with CustomerKey. It is fixed
	// when the stage is first deployed: a change would replace the volume.
	CustomerKey bool
	// BackupDays is how long daily snapshots of the volume are retained; 0 takes none.
	BackupDays int
}

// HasInstance says whether the stack has an instance of its own, with its network.
func (d Database) HasInstance() bool { return d.Kind != ExistingDatabase || d.KeepInstance }

// Egress is how the private subnets reach the internet: the database's instance
// installs packages through it and functions call AWS's APIs.
type Egress string

// A NAT instance costs about 7 dollars a month with its address and is a single point
// of failure; a NAT gateway is highly available and costs about 33 dollars a month
// and 0.045 per GB.
const (
	NATInstance Egress = "nat-instance"
	NATGateway  Egress = "nat-gateway"
)

// Network configures the VPC, which is created for OwnInstance only.
type Network struct {
	// CIDR is the VPC's IPv4 range, /16 to /24.
	CIDR   string
	Egress Egress
	// NATImage is any text, such as a date; for NATInstance only. The machine's image is the
	// newest one at the first deployment with this text: another text replaces the machine,
	// and connections break for some minutes.
	NATImage string
}

// Monitoring configures the managed Prometheus.
type Monitoring struct {
	// RetentionDays is how long samples are stored, 1 to 1,095.
	RetentionDays int
	// CustomerKey encrypts the samples with the key of a stage with CustomerKey. It is fixed
	// when the stage is first deployed: a change would replace the workspace.
	CustomerKey bool
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

// Log configures the logs of functions and the API's access log.
type Log struct {
	Level LogLevel
	// RetentionDays is one of LogRetentionDays.
	RetentionDays int
}
