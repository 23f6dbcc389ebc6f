package secrets

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	targetPrefix    = "secretsmanager."
	contentType     = "application/x-amz-json-1.1"
	maxRequestBytes = 64 << 10
	currentStage    = "AWSCURRENT"
)

// request holds the members that the two operations share.
type request struct {
	SecretID     string `json:"SecretId"`
	VersionID    string `json:"VersionId"`
	VersionStage string `json:"VersionStage"`
}

// seconds is a time as AWS JSON 1.1 writes it.
type seconds float64

func secondsOf(t time.Time) seconds { return seconds(float64(t.UnixMilli()) / 1000) }

type valueResponse struct {
	ARN           string   `json:"ARN"`
	Name          string   `json:"Name"`
	VersionID     string   `json:"VersionId"`
	SecretString  string   `json:"SecretString"`
	VersionStages []string `json:"VersionStages"`
	CreatedDate   seconds  `json:"CreatedDate"`
}

type describeResponse struct {
	ARN                string              `json:"ARN"`
	Name               string              `json:"Name"`
	CreatedDate        seconds             `json:"CreatedDate"`
	LastChangedDate    seconds             `json:"LastChangedDate"`
	VersionIDsToStages map[string][]string `json:"VersionIdsToStages"`
}

type errorResponse struct {
	Type    string `json:"__type"`
	Message string `json:"Message"`
}

// Handler serves the API. Signatures are not looked at.
func (s *Store) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Store) serve(w http.ResponseWriter, r *http.Request) {
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if !ok || r.Method != http.MethodPost || operation != "GetSecretValue" && operation != "DescribeSecret" {
		refuse(w, "UnknownOperationException", "GetSecretValue and DescribeSecret are what there is.")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	var in request
	if err != nil || json.Unmarshal(body, &in) != nil {
		refuse(w, "SerializationException", "The request is not JSON of the expected form.")
		return
	}
	if in.SecretID == "" {
		refuse(w, "InvalidParameterException", "SecretId is missing.")
		return
	}
	one, err := s.get(in.SecretID)
	if errors.Is(err, ErrNotFound) {
		refuse(w, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
		return
	}
	if operation == "DescribeSecret" {
		answer(w, http.StatusOK, describeResponse{
			ARN: one.ARN, Name: one.Name, CreatedDate: secondsOf(one.Created), LastChangedDate: secondsOf(one.Changed),
			VersionIDsToStages: map[string][]string{one.VersionID: {currentStage}},
		})
		return
	}
	if in.VersionID != "" && in.VersionID != one.VersionID || in.VersionStage != "" && in.VersionStage != currentStage {
		refuse(w, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for this version; only the current one is kept.")
		return
	}
	answer(w, http.StatusOK, valueResponse{
		ARN: one.ARN, Name: one.Name, VersionID: one.VersionID, SecretString: one.Value,
		VersionStages: []string{currentStage}, CreatedDate: secondsOf(one.Changed),
	})
}

func refuse(w http.ResponseWriter, kind, message string) {
	answer(w, http.StatusBadRequest, errorResponse{Type: kind, Message: message})
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
