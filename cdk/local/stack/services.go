package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/kinesis"
	"github.com/insighthub/insighthub/cdk/local/secrets"
)

// endpoints are the URLs of the emulators.
type endpoints struct {
	kinesis, objects, secrets, kms, events string
}

// listen opens a listener.
func (s *Stack) listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("local stack: %s is in use: stop the program that listens there (another local stack?) "+
			"or set another address with -http (make run HTTP=127.0.0.1:8081)", address)
	}
	if err != nil {
		return nil, fmt.Errorf("local stack: listen on %s: %w", address, err)
	}
	return l, nil
}

// newServer returns a server of h that speaks HTTP/1.1 and HTTP/2 on one port, both without
// TLS: the AWS SDK for JavaScript begins with HTTP/2 for Kinesis, whatever the endpoint.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		Protocols: protocols,
	}
}

// serve serves h on l until Close, which waits for the requests in flight, and returns the URL.
func (s *Stack) serve(what string, l net.Listener, h http.Handler) string {
	server := newServer(h, s.log)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.printf("%-10s stopped serving: %v", what, err)
		}
	}()
	s.onClose(what, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, s.cfg.Drain)
		defer cancel()
		err := server.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, server.Close())
		}
		<-ended
		return err
	})
	return "http://" + l.Addr().String()
}

// serveLocal serves h on a free port, and returns the URL.
func (s *Stack) serveLocal(ctx context.Context, what string, h http.Handler) (string, error) {
	l, err := s.listen(ctx, "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return s.serve(what, l, h), nil
}

func (s *Stack) startDatabase(ctx context.Context) error {
	if s.cfg.Database != "" {
		s.info.Database = s.cfg.Database
		s.printf("database   from -database")
		return nil
	}
	logs, err := s.openLog("postgres")
	if err != nil {
		return err
	}
	if s.database, err = startDatabase(ctx, s.cfg, logs, s.printf); err != nil {
		return err
	}
	s.onClose("database", s.database.close)
	s.info.Database = s.database.dsn
	s.printf("database   PostgreSQL, process %d, files in %s", s.database.pid(), s.cfg.path("postgres"))
	return nil
}

// databaseSecret and adminSecret are the functions' variables of these secrets; the
// second holds the first password of the account adminName.
const (
	databaseSecret = "DATABASE_SECRET_ARN"
	adminSecret    = "ADMIN_SECRET_ARN"
	roleSecret     = "ROLE_" // a prefix
	adminName      = "admin"
)

// startSecrets creates the secrets: the database's holds the address of the local one,
// the others are generated once. The functions get the local ARNs.
func (s *Stack) startSecrets(ctx context.Context) error {
	store, err := secrets.New(secrets.Config{
		File: s.cfg.path("secrets.json"), Region: s.plan.Region, AccountID: s.plan.Account, Now: s.cfg.Now,
	})
	if err != nil {
		return err
	}
	s.secrets = store
	for _, planned := range s.plan.Secrets {
		var arn string
		if planned.Value != "" {
			arn, err = store.Set(planned.Name, planned.Value)
		} else {
			arn, err = store.Ensure(planned.Name, planned.Generate)
		}
		if err != nil {
			return err
		}
		s.secretARNs[planned.ARN] = arn
	}
	value := map[string]any{"dsn": s.info.Database}
	if s.database != nil {
		if value, err = s.database.secret(); err != nil {
			return err
		}
	}
	database, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("database secret: %w", err)
	}
	roles := s.roleSecrets()
	for _, f := range s.plan.Functions {
		for variable, arn := range f.Env {
			if !strings.HasSuffix(variable, "_SECRET_ARN") {
				continue
			}
			if err := s.provideSecret(store, variable, arn, string(database), roles[arn]); err != nil {
				return err
			}
		}
	}
	if s.endpoints.secrets, err = s.serveLocal(ctx, "secrets", store.Handler()); err != nil {
		return err
	}
	s.printf("secrets    %d, at %s", len(s.secretARNs), s.endpoints.secrets)
	return nil
}

// roleSecrets returns the secrets of the functions' database roles: migrate, which completes
// them, has each in a variable such as ROLE_API_SECRET_ARN.
func (s *Stack) roleSecrets() map[string]bool {
	roles := make(map[string]bool)
	for _, f := range s.plan.Functions {
		for variable, arn := range f.Env {
			if strings.HasPrefix(variable, roleSecret) {
				roles[arn] = true
			}
		}
	}
	return roles
}

// provideSecret sets the value of a secret that a function reads. A secret that is not in
// the plan (the address of a database elsewhere) is created too. That of a role stays as it is.
func (s *Stack) provideSecret(store *secrets.Store, variable, arn, database string, role bool) error {
	if s.secretARNs[arn] == "" {
		own, err := store.Ensure(secretName(arn), secrets.Generate{Length: 64, ExcludePunctuation: true})
		if err != nil {
			return err
		}
		s.secretARNs[arn] = own
	}
	var err error
	switch variable {
	case databaseSecret:
		if role {
			return nil
		}
		_, err = store.Set(s.secretARNs[arn], database)
	case adminSecret:
		s.info.AdminName = adminName
		s.info.AdminPassword, err = store.Value(s.secretARNs[arn])
	}
	return err
}

// secretName returns the name in arn:aws:secretsmanager:region:account:secret:name-suffix.
func secretName(arn string) string {
	const suffix = 7 // a hyphen and six characters
	name := arn[strings.LastIndexByte(arn, ':')+1:]
	if strings.HasPrefix(arn, "arn:") && len(name) > suffix {
		name = name[:len(name)-suffix]
	}
	return name
}

// startStream creates the streams, or restores those of the previous run.
func (s *Stack) startStream(ctx context.Context) error {
	logs, err := s.openLog("kinesis")
	if err != nil {
		return err
	}
	s.stream = kinesis.New(kinesis.Config{
		Now: s.cfg.Now, Account: s.plan.Account, Region: s.plan.Region, MemoryBytes: streamBytes, Log: logs,
	})
	path := s.cfg.path(stateFile)
	if err := restore(path, s.stream, s.checkpoints); err != nil {
		return err
	}
	s.onClose("stream", func(context.Context) error { return save(path, s.stream, s.checkpoints) })
	for _, planned := range s.plan.Streams {
		mode := kinesis.Provisioned
		if planned.OnDemand {
			mode = kinesis.OnDemand
		}
		_, err := s.stream.ListShardInfo(planned.Name)
		restored := err == nil
		if !restored {
			err = s.stream.Create(planned.Name, kinesis.StreamOptions{
				Shards: planned.Shards, Mode: mode, RetentionHours: int(planned.Retention.Hours()),
			})
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", planned, err)
		}
		state := "new"
		if restored {
			state = "restored"
		}
		s.printf("stream     %s, %s", planned.Name, state)
	}
	if s.endpoints.kinesis, err = s.serveLocal(ctx, "kinesis", s.stream.Handler()); err != nil {
		return err
	}
	s.info.Kinesis = s.endpoints.kinesis
	return nil
}
