// Package events is the local body of Amazon EventBridge's buses: it takes events,
// writes each as a line, in the form in which a rule's target gets it, and leads those
// that fit a rule to its function. A delivery that fails is tried again twice, after
// pauses far shorter than Lambda's, and then given up.
package events

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what a Server is made of.
type Config struct {
	// Buses are the names of the buses that there are.
	Buses           []string
	Region, Account string
	// Out takes the events, one JSON object a line.
	Out io.Writer
	Now func() time.Time
	// GivenUp is told of each event that could not be delivered to a rule's target. It
	// is needed by rules alone.
	GivenUp func(rule string, event []byte, err error)
	// Pause is waited before the second attempt, and twice that before the third; default 1 s.
	Pause time.Duration
}

// Server takes events. It is safe for concurrent use.
type Server struct {
	cfg   Config
	mu    sync.Mutex // of Out and rules
	rules []Rule

	deliveries sync.WaitGroup
	running    context.Context //nolint:containedctx // of the deliveries, which outlive the calls that begin them
	stop       context.CancelFunc
}

// New returns a Server. ctx is that of the deliveries; its end does not matter.
func New(ctx context.Context, cfg Config) *Server {
	if cfg.Pause == 0 {
		cfg.Pause = time.Second
	}
	s := &Server{cfg: cfg}
	s.running, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

const (
	target          = "AWSEvents.PutEvents"
	contentType     = "application/x-amz-json-1.1"
	maxEntries      = 10
	maxEntriesBytes = 256 << 10
	maxRequestBytes = 1 << 20
)

// entry is a PutEventsRequestEntry.
type entry struct {
	Source       string          `json:"Source"`
	DetailType   string          `json:"DetailType"`
	Detail       string          `json:"Detail"`
	EventBusName string          `json:"EventBusName"`
	Resources    []string        `json:"Resources"`
	Time         json.RawMessage `json:"Time"` // seconds since 1970
}

// event is what a target would get.
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

type errorResponse struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
}

// Handler serves the API. Signatures are not looked at.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.Header.Get("X-Amz-Target") != target {
		refuse(w, "UnknownOperationException", "PutEvents is what there is.")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	var in struct{ Entries []entry }
	if err != nil || json.Unmarshal(body, &in) != nil {
		refuse(w, "SerializationException", "The request is not JSON of the expected form.")
		return
	}
	if n := len(in.Entries); n < 1 || n > maxEntries {
		refuse(w, "ValidationException", fmt.Sprintf("%d entries; want 1 to %d.", n, maxEntries))
		return
	}
	size := 0
	for _, e := range in.Entries {
		size += len(e.Source) + len(e.DetailType) + len(e.Detail)
	}
	if size > maxEntriesBytes {
		refuse(w, "ValidationException", "Total size of the entries in the request is over the limit.")
		return
	}
	var out response
	for _, e := range in.Entries {
		one := s.take(e)
		if one.ErrorCode != "" {
			out.FailedEntryCount++
		}
		out.Entries = append(out.Entries, one)
	}
	answer(w, http.StatusOK, out)
}

// take writes an event's line.
func (s *Server) take(e entry) result {
	name := e.EventBusName[strings.LastIndexByte(e.EventBusName, '/')+1:] // of an ARN too
	var object map[string]json.RawMessage
	switch {
	case name != "" && !slices.Contains(s.cfg.Buses, name):
		return result{ErrorCode: "InvalidArgument", ErrorMessage: "There is no such event bus."}
	case e.Source == "" || e.DetailType == "":
		return result{ErrorCode: "InvalidArgument", ErrorMessage: "Parameters Source and DetailType are wanted."}
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
			s.lead(name, slices.Clip(line))
		}
	}
	if err != nil {
		return result{ErrorCode: "InternalFailure", ErrorMessage: "The event could not be written."}
	}
	return result{EventID: id}
}

func refuse(w http.ResponseWriter, kind, message string) {
	answer(w, http.StatusBadRequest, errorResponse{kind, message})
}

func answer(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
