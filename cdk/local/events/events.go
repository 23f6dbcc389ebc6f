// Package events emulates Amazon EventBridge buses: PutEvents writes each event as a
// line, in the form in which a rule's target receives it, and delivers it to the targets
// of the rules that match it. A delivery that fails is retried twice, after pauses far
// shorter than Lambda's, and then discarded.
package events

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/insighthub/insighthub/cdk/local/awsjson"
)

// Config of a Server.
type Config struct {
	Buses           []string // names
	Region, Account string
	// Out receives the events, one JSON object a line.
	Out io.Writer
	Now func() time.Time
	// Undelivered is called with each event that no attempt delivered to a rule's
	// target. It is required if there are rules.
	Undelivered func(rule string, event []byte, err error)
	// Pause before the second attempt, twice that before the third; default 1 s.
	Pause time.Duration
}

// Server holds the buses. It is safe for concurrent use.
type Server struct {
	cfg   Config
	mu    sync.Mutex // of Out and rules
	rules []Rule

	deliveries sync.WaitGroup
	running    context.Context //nolint:containedctx // of the deliveries, which outlive the requests that start them
	stop       context.CancelFunc
}

// New returns a Server. The deliveries get ctx's values, not its end: see Drain.
func New(ctx context.Context, cfg Config) *Server {
	cfg.Pause = cmp.Or(cfg.Pause, time.Second)
	s := &Server{cfg: cfg}
	s.running, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

const (
	targetPrefix    = "AWSEvents."
	maxEntries      = 10
	maxEntriesBytes = 256 << 10
	maxRequestBytes = 1 << 20
)

type request struct {
	Entries []entry `json:"Entries"`
}

// entry is a PutEventsRequestEntry.
type entry struct {
	Source       string          `json:"Source"`
	DetailType   string          `json:"DetailType"`
	Detail       string          `json:"Detail"`
	EventBusName string          `json:"EventBusName"`
	Resources    []string        `json:"Resources"`
	Time         json.RawMessage `json:"Time"` // seconds since 1970
}

// event is what a target receives.
type event struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       time.Time       `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

type result struct {
	EventID      string `json:"EventId,omitempty"`
	ErrorCode    string `json:"ErrorCode,omitempty"`
	ErrorMessage string `json:"ErrorMessage,omitempty"`
}

type response struct {
	FailedEntryCount int      `json:"FailedEntryCount"`
	Entries          []result `json:"Entries"`
}

// Handler returns the HTTP API. Signatures are not checked.
func (s *Server) Handler() http.Handler {
	return awsjson.New(awsjson.Config{TargetPrefix: targetPrefix, MaxBytes: maxRequestBytes, Operations: map[string]awsjson.Operation{
		"PutEvents": awsjson.Of(s.putEvents),
	}})
}

func (s *Server) putEvents(in request) (any, error) {
	if n := len(in.Entries); n < 1 || n > maxEntries {
		return nil, awsjson.Errorf("ValidationException", "The request has %d entries; want 1 to %d.", n, maxEntries)
	}
	size := 0
	for _, e := range in.Entries {
		size += len(e.Source) + len(e.DetailType) + len(e.Detail)
	}
	if size > maxEntriesBytes {
		return nil, awsjson.Errorf("ValidationException", "Total size of the entries in the request is over the limit.")
	}
	var out response
	for _, e := range in.Entries {
		one := s.put(e)
		if one.ErrorCode != "" {
			out.FailedEntryCount++
		}
		out.Entries = append(out.Entries, one)
	}
	return out, nil
}

// put writes an event's line and starts its deliveries.
func (s *Server) put(e entry) result {
	name := e.EventBusName[strings.LastIndexByte(e.EventBusName, '/')+1:] // of a name or an ARN
	var object map[string]json.RawMessage
	switch {
	case name != "" && !slices.Contains(s.cfg.Buses, name):
		return result{ErrorCode: "InvalidArgument", ErrorMessage: "The event bus does not exist."}
	case e.Source == "" || e.DetailType == "":
		return result{ErrorCode: "InvalidArgument", ErrorMessage: "Parameters Source and DetailType are required."}
	case json.Unmarshal([]byte(e.Detail), &object) != nil:
		return result{ErrorCode: "MalformedDetail", ErrorMessage: "Detail is malformed."}
	}
	at := s.cfg.Now()
	if len(e.Time) > 0 {
		var seconds float64
		if json.Unmarshal(e.Time, &seconds) != nil {
			return result{ErrorCode: "InvalidArgument", ErrorMessage: "Parameter Time is not valid."}
		}
		at = time.UnixMilli(int64(seconds * 1000))
	}
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	id := hex.EncodeToString(raw[:])
	line, err := json.Marshal(event{
		Version: "0", ID: id, DetailType: e.DetailType, Source: e.Source, Account: s.cfg.Account, Time: at.UTC().Truncate(time.Second),
		Region: s.cfg.Region, Resources: append([]string{}, e.Resources...), Detail: json.RawMessage(e.Detail),
	})
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, err = s.cfg.Out.Write(append(line, '\n')); err == nil {
			s.deliverToRules(name, slices.Clip(line))
		}
	}
	if err != nil {
		return result{ErrorCode: "InternalFailure", ErrorMessage: "The event could not be written."}
	}
	return result{EventID: id}
}
