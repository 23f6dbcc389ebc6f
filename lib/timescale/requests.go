package timescale

import "time"

// ForRequests is the pool of a function behind the HTTP API: it handles one request at a
// time, and says soon that the database is away. Statement bounds one statement.
func ForRequests(application string, statement time.Duration) PoolConfig {
	return PoolConfig{
		Application: application, MaxConnections: 1, ConnectTimeout: 2 * time.Second, StatementTimeout: statement,
		LockTimeout: 2 * time.Second, MaxAttempts: 3,
	}
}
