package stack

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
)

// infoEvery is how often the process ids in stack.json are brought up to date.
const infoEvery = time.Second

// publish writes stack.json, keeps its process ids up to date, and prints how to use the stack.
func (s *Stack) publish(ctx context.Context) error {
	if len(s.plan.Streams) > 0 {
		s.info.Stream = s.plan.Streams[0].Name
	}
	s.info.Logs = s.cfg.path("logs")
	s.info.PIDs = s.pids()
	if err := stackfile.Write(s.cfg.State, s.info); err != nil {
		return err
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.refresh(stop)
	}()
	s.onClose(stackfile.Name, func(context.Context) error {
		close(stop)
		<-ended
		return os.Remove(s.cfg.path(stackfile.Name))
	})
	if err := s.plan.PrintSkipped(s.cfg.Out); err != nil {
		return err
	}
	return s.printUsage(ctx)
}

func (s *Stack) refresh(stop <-chan struct{}) {
	tick := time.NewTicker(infoEvery)
	defer tick.Stop()
	current := s.info
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		pids := s.pids()
		if reflect.DeepEqual(pids, current.PIDs) {
			continue
		}
		current.PIDs = pids
		if err := stackfile.Write(s.cfg.State, current); err != nil {
			s.log.Warn("write "+stackfile.Name, "error", err)
		}
	}
}

func (s *Stack) pids() stackfile.PIDs {
	pids := stackfile.PIDs{Local: os.Getpid(), Functions: make(map[string][]int)}
	if s.database != nil {
		pids.Postgres = s.database.pid()
	}
	if s.prometheus != nil {
		pids.Prometheus = s.prometheus.pid()
	}
	if s.live.redis != nil {
		pids.Redis = s.live.redis.pid()
	}
	if s.live.turn != nil {
		pids.Coturn = s.live.turn.pid()
	}
	if s.live.signaling != nil {
		pids.Signaling = s.live.signaling.pid()
	}
	for _, f := range s.functions {
		pids.Functions[f.plan.Program] = f.Stats().PIDs
	}
	return pids
}

func (s *Stack) printUsage(ctx context.Context) error {
	now := s.cfg.Now()
	s.printf("\nReady. All addresses are on the loopback interface.")
	if s.info.SigningKey != "" {
		t, err := gatewayToken(ctx, s.info, "demo", "plant-1", s.cfg.Now)
		if err != nil {
			return err
		}
		s.printf("  post an event   curl -sS %s/v1/telemetry -H 'Content-Type: application/json' -H 'Authorization: Bearer %s' -d '%s'",
			s.info.HTTP, t, fmt.Sprintf(`{"events":[{"device":"press-1","metric":"temperature","time":%q,"value":71.25}]}`,
				now.UTC().Format(time.RFC3339)))
	}
	if s.info.AdminPassword != "" {
		s.printf("  log in          curl -sS %s/v1/login -H 'Content-Type: application/json' -d '%s'",
			s.info.HTTP, fmt.Sprintf(`{"name":%q,"password":%q}`, s.info.AdminName, s.info.AdminPassword))
	}
	if s.info.Live != "" {
		s.printf("  live page       %s", s.info.Live)
	}
	psql := "psql"
	if s.cfg.Timescale != "" {
		psql = filepath.Join(s.cfg.Timescale, "bin", "psql")
	}
	s.printf("  query events    %s '%s' -c \"SELECT * FROM reading WHERE gateway = 'demo' ORDER BY time DESC LIMIT 10\"", psql,
		s.info.Database)
	if s.info.Prometheus != "" {
		s.printf("  KPIs            %s/graph", s.info.Prometheus)
		s.printf("  OEE by machine  curl -sS %s/api/v1/query --data-urlencode 'query=insighthub:oee:ratio5m{level=\"device\"}'",
			s.info.Prometheus)
	}
	s.printf("  logs            %s", s.info.Logs)
	s.printf("  addresses       %s", s.cfg.path(stackfile.Name))
	s.printf("Ctrl-C stops the stack; its data stays in %s.\n", s.cfg.State)
	return nil
}

func (s *Stack) startCommand(ctx context.Context) error {
	if s.cfg.And == "" {
		return nil
	}
	c, err := startChild(ctx, s.cfg.And, s.printf)
	if err != nil {
		return err
	}
	s.onClose(c.name, c.stop)
	stopped := make(chan struct{})
	s.onClose(c.name+"'s end", func(context.Context) error { close(stopped); return nil })
	go func() {
		err := c.process.Err()
		select {
		case <-stopped:
			return
		default:
		}
		reason := "exit status 0"
		if err != nil {
			reason = err.Error()
		}
		s.printf("%-10s ended: %s; the stack runs on", c.name, reason)
	}()
	return nil
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	x := hex.EncodeToString(b[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}
