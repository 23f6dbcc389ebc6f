package stack

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/kinesis"
)

// endpoints are where the bodies of the AWS services listen.
type endpoints struct {
	kinesis, objects, secrets string
}

// listen takes an address.
func (s *Stack) listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("local stack: %s is in use: stop what listens there (another local stack?) or take another address with -http (make run HTTP=127.0.0.1:8081)", address)
	}
	if err != nil {
		return nil, fmt.Errorf("local stack: listen on %s: %w", address, err)
	}
	return l, nil
}

// serve answers on l until Close, which waits for the requests in flight.
func (s *Stack) serve(what string, l net.Listener, h http.Handler) string {
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: nil}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.say("%s   does not answer any more: %v", what, err)
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

// serveLocal is serve on a free port.
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
		s.say("database   as given")
		return nil
	}
	logs, err := s.openLog("postgres")
	if err != nil {
		return err
	}
	if s.database, err = startDatabase(ctx, s.cfg, logs, s.say); err != nil {
		return err
	}
	s.onClose("database", s.database.close)
	s.info.Database = s.database.dsn
	s.say("database   PostgreSQL, process %d, files in %s", s.database.pid(), s.cfg.path("postgres"))
	return nil
}

// databaseSecret and tokenSecret are the variables by which the functions name them.
const (
	databaseSecret = "DATABASE_SECRET_ARN"
	tokenSecret    = "TOKEN_SECRET_ARN"
)

// startSecrets gives each secret its value: the database's names the local one, the
// others are generated once and kept in the state folder.
func (s *Stack) startSecrets(ctx context.Context) error {
	kept := make(map[string]string)
	path := s.cfg.path("secrets.json")
	raw, err := os.ReadFile(path) //nolint:gosec // the user's state folder
	if err == nil {
		err = json.Unmarshal(raw, &kept)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the generated secrets: %w", err)
	}
	for _, secret := range s.plan.Secrets {
		s.secrets[secret.ARN] = generated(kept, secret.ARN, secret.Length)
	}
	database, err := json.Marshal(map[string]string{"dsn": s.info.Database})
	if err != nil {
		return fmt.Errorf("database secret: %w", err)
	}
	for _, f := range s.plan.Functions {
		for variable, arn := range f.Env {
			switch {
			case variable == databaseSecret:
				s.secrets[arn] = string(database)
				delete(kept, arn)
			case variable == tokenSecret:
				s.secrets[arn] = generated(kept, arn, 64)
				s.info.TokenSecret = s.secrets[arn]
			case strings.HasSuffix(variable, "_SECRET_ARN") && s.secrets[arn] == "":
				s.secrets[arn] = generated(kept, arn, 32)
			}
		}
	}
	if raw, err = json.MarshalIndent(kept, "", "  "); err != nil {
		return fmt.Errorf("keep the generated secrets: %w", err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return fmt.Errorf("keep the generated secrets: %w", err)
	}
	if s.endpoints.secrets, err = s.serveLocal(ctx, "secrets", newSecrets(s.secrets)); err != nil {
		return err
	}
	s.say("secrets    %d, at %s", len(s.secrets), s.endpoints.secrets)
	return nil
}

// generated returns the kept value of a secret, or makes one of at least 32 characters.
func generated(kept map[string]string, arn string, length int) string {
	for len(kept[arn]) < max(length, 32) {
		kept[arn] += rand.Text()
	}
	return kept[arn]
}

// startStream makes the streams, or takes them over from the run before.
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
		known := err == nil
		if !known {
			err = s.stream.Create(planned.Name, kinesis.StreamOptions{
				Shards: planned.Shards, Mode: mode, RetentionHours: int(planned.Retention.Hours()),
			})
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", planned, err)
		}
		state := "new"
		if known {
			state = "continued"
		}
		s.say("stream     %s, %s", planned.Name, state)
	}
	if s.endpoints.kinesis, err = s.serveLocal(ctx, "kinesis", s.stream.Handler()); err != nil {
		return err
	}
	s.info.Kinesis = s.endpoints.kinesis
	return nil
}
