package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Redis configures the connection of the tasks. Zero durations have defaults.
type Redis struct {
	// URL is redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// over TLS. With ?cluster=true
	// the server is a cluster, as ElastiCache Serverless is.
	URL string
	// Password replaces that of the URL if it is not empty.
	Password string
	// Roots are the certificate authorities of TLS; nil: those of the system.
	Roots *x509.CertPool

	// Timeout is the longest that one operation takes, default 1 s.
	Timeout time.Duration
	// Heartbeat is how often this task renews its inbox and looks for the others', default 500 ms.
	Heartbeat time.Duration
	// TaskTTL is how long the inbox of a task lives that is not renewed, default 3 s.
	TaskTTL time.Duration
	// DeadAfter is how long an inbox is missing before its task is dead, default 1.5 s: after
	// a restart of Redis each task creates its own again.
	DeadAfter time.Duration
	// Grace is how long the members of a dead task are lost before they have left, default
	// 30 s, as rtc.GraceSeconds.
	Grace time.Duration
	// Absence is how long members are waited for that were lost with the data of Redis,
	// default 5 s.
	Absence time.Duration
	// CheckEvery is how often the versions of the rooms are compared, default 2 s.
	CheckEvery time.Duration
	// RoomTTL is how long a room lives in Redis of which no task is left, default 1 min.
	RoomTTL time.Duration
	// Inbox is how many entries wait for a task at most, about, default 8,192; then the oldest are lost.
	Inbox int64
}

func (c *Redis) setDefaults() {
	for _, d := range []struct {
		value *time.Duration
		by    time.Duration
	}{
		{&c.Timeout, time.Second},
		{&c.Heartbeat, 500 * time.Millisecond},
		{&c.TaskTTL, 3 * time.Second},
		{&c.DeadAfter, 1500 * time.Millisecond},
		{&c.Grace, 30 * time.Second},
		{&c.Absence, 5 * time.Second},
		{&c.CheckEvery, 2 * time.Second},
		{&c.RoomTTL, time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.by
		}
	}
	if c.Inbox <= 0 {
		c.Inbox = 8192
	}
}

// quiet turns off the log lines that the client writes to standard error by itself. All it
// says there is in the errors that it returns.
//
//nolint:gochecknoglobals // the client has one logger for all
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// ParseURL checks a URL without connecting. Errors do not show the password.
func ParseURL(text string) error {
	_, err := options(Redis{URL: text})
	return err
}

// options returns the options of a client. A client never repeats a command by itself: a
// message that was written twice would be delivered twice.
func options(c Redis) (*redis.UniversalOptions, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("REDIS_URL: not a valid URL") // its text has the password
	}
	cluster := false
	query := u.Query()
	switch query.Get("cluster") {
	case "", "false":
	case "true":
		cluster = true
	default:
		return nil, fmt.Errorf("REDIS_URL: got cluster=%s, want true or false", query.Get("cluster"))
	}
	query.Del("cluster")
	for name := range query {
		return nil, fmt.Errorf("REDIS_URL: parameter %q is unknown; want only cluster", name)
	}
	u.RawQuery = ""
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, fmt.Errorf("REDIS_URL: got scheme %q, want redis or rediss", u.Scheme)
	}
	single, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, errors.New("REDIS_URL: want redis[s]://[USER:PASSWORD@]HOST[:PORT][/DB][?cluster=true]")
	}
	if cluster && single.DB != 0 {
		return nil, fmt.Errorf("REDIS_URL: a cluster has database 0 only, got %d", single.DB)
	}
	o := &redis.UniversalOptions{
		Addrs: []string{single.Addr}, DB: single.DB, Username: single.Username, Password: single.Password,
		IsClusterMode: cluster, MaxRetries: -1, ContextTimeoutEnabled: true,
		DialTimeout: c.Timeout, ReadTimeout: c.Timeout, WriteTimeout: c.Timeout, PoolTimeout: c.Timeout, DialerRetries: 1,
		// The connections: operations on rooms, the writer, the reader and the keeper.
		PoolSize:                 16,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if c.Password != "" {
		o.Password = c.Password
	}
	if u.Scheme == "rediss" {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host(single.Addr), RootCAs: c.Roots}
	}
	return o, nil
}

func host(address string) string {
	host := address[:strings.LastIndexByte(address, ':')]
	return strings.Trim(host, "[]")
}
