package stack

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"
)

const (
	infoFile = "stack.json"
	// infoEvery is how often the processes in it are looked up.
	infoEvery = time.Second
)

// Info is what stack.json says while the stack answers. It holds secrets; only its
// owner can read it.
type Info struct {
	HTTP     string `json:"http"`
	Database string `json:"database"`
	Kinesis  string `json:"kinesis"`
	Stream   string `json:"stream"`
	// Objects is the address of the buckets, Buckets their names by the variables by
	// which the functions know them, such as FAILURE_BUCKET.
	Objects    string            `json:"objects,omitempty"`
	Buckets    map[string]string `json:"buckets,omitempty"`
	Prometheus string            `json:"prometheus,omitempty"`
	// KMS is the address of the local one, SigningKey the ARN in it of the key with
	// which tokens are signed, as those of Issuer for Audience.
	KMS        string `json:"kms,omitempty"`
	SigningKey string `json:"signing_key,omitempty"`
	Issuer     string `json:"issuer,omitempty"`
	Audience   string `json:"audience,omitempty"`
	// AdminName and AdminPassword are the first account's, as long as nobody changed the password.
	AdminName     string `json:"admin_name,omitempty"`
	AdminPassword string `json:"admin_password,omitempty"`
	// PIDs holds the process of "local", "postgres" and "prometheus", and the list of each
	// function's.
	PIDs map[string]any `json:"pids"`
	Logs string         `json:"logs"`
}

// publish writes stack.json, keeps its processes up to date and says where to look.
func (s *Stack) publish(ctx context.Context) error {
	if len(s.plan.Streams) > 0 {
		s.info.Stream = s.plan.Streams[0].Name
	}
	s.info.Logs = s.cfg.path("logs")
	s.info.PIDs = s.pids()
	if err := s.writeInfo(s.info); err != nil {
		return err
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.refresh(stop)
	}()
	s.onClose(infoFile, func(context.Context) error {
		close(stop)
		<-ended
		return os.Remove(s.cfg.path(infoFile))
	})
	if err := s.plan.PrintSkipped(s.cfg.Out); err != nil {
		return err
	}
	return s.printWhereToLook(ctx)
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
		if err := s.writeInfo(current); err != nil {
			s.log.Warn("write "+infoFile, "error", err)
		}
	}
}

func (s *Stack) pids() map[string]any {
	pids := map[string]any{"local": os.Getpid()}
	if s.database != nil {
		pids["postgres"] = s.database.pid()
	}
	if s.prometheus != nil {
		pids["prometheus"] = s.prometheus.pid()
	}
	for _, f := range s.functions {
		pids[f.plan.Program] = f.Stats().PIDs
	}
	return pids
}

// writeInfo replaces the file at once: a reader never sees a half.
func (s *Stack) writeInfo(info Info) error {
	raw, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", infoFile, err)
	}
	path := s.cfg.path(infoFile)
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", infoFile, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write %s: %w", infoFile, err)
	}
	return nil
}

func (s *Stack) printWhereToLook(ctx context.Context) error {
	now := s.cfg.Now()
	s.say("\nReady. Everything listens on this machine only.")
	if s.info.SigningKey != "" {
		t, err := s.info.gatewayToken(ctx, "demo", "plant-1", s.cfg.Now)
		if err != nil {
			return err
		}
		s.say("  post an event   curl -sS %s/v1/telemetry -H 'Content-Type: application/json' -H 'Authorization: Bearer %s' -d '%s'",
			s.info.HTTP, t, fmt.Sprintf(`{"events":[{"device":"press-1","metric":"temperature","time":%q,"value":71.25}]}`,
				now.UTC().Format(time.RFC3339)))
	}
	if s.info.AdminPassword != "" {
		s.say("  log in          curl -sS %s/v1/login -H 'Content-Type: application/json' -d '%s'",
			s.info.HTTP, fmt.Sprintf(`{"name":%q,"password":%q}`, s.info.AdminName, s.info.AdminPassword))
	}
	psql := "psql"
	if s.cfg.Timescale != "" {
		psql = filepath.Join(s.cfg.Timescale, "bin", "psql")
	}
	s.say("  read it back    %s '%s' -c \"SELECT * FROM reading WHERE gateway = 'demo' ORDER BY time DESC LIMIT 10\"", psql, s.info.Database)
	if s.info.Prometheus != "" {
		s.say("  figures         %s/graph", s.info.Prometheus)
		s.say("  OEE by machine  curl -sS %s/api/v1/query --data-urlencode 'query=insighthub:oee:ratio5m{level=\"device\"}'", s.info.Prometheus)
	}
	s.say("  logs            %s", s.info.Logs)
	s.say("  addresses       %s", s.cfg.path(infoFile))
	s.say("Ctrl-C stops all of it; the data stays in %s.\n", s.cfg.State)
	return nil
}

func (s *Stack) startCommand(ctx context.Context) error {
	if s.cfg.And == "" {
		return nil
	}
	c, err := startChild(ctx, s.cfg.And, s.say)
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
		reason := "with success"
		if err != nil {
			reason = err.Error()
		}
		s.say("%-10s ended: %s; the stack stays", c.name, reason)
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
