package secrets

import (
	"errors"
	"net/http"

	"github.com/insighthub/insighthub/cdk/local/awsjson"
)

const (
	targetPrefix    = "secretsmanager."
	maxRequestBytes = 128 << 10 // a value of 64 KiB, escaped
	currentStage    = "AWSCURRENT"
)

type valueRequest struct {
	SecretID     string `json:"SecretId"`
	VersionID    string `json:"VersionId"`
	VersionStage string `json:"VersionStage"`
}

// Times are seconds since 1970.
type valueResponse struct {
	ARN           string   `json:"ARN"`
	Name          string   `json:"Name"`
	VersionID     string   `json:"VersionId"`
	SecretString  string   `json:"SecretString"`
	VersionStages []string `json:"VersionStages"`
	CreatedDate   float64  `json:"CreatedDate"`
}

type putRequest struct {
	SecretID     string `json:"SecretId"`
	SecretString string `json:"SecretString"`
}

type putResponse struct {
	ARN           string   `json:"ARN"`
	Name          string   `json:"Name"`
	VersionID     string   `json:"VersionId"`
	VersionStages []string `json:"VersionStages"`
}

type describeRequest struct {
	SecretID string `json:"SecretId"`
}

type describeResponse struct {
	ARN                string              `json:"ARN"`
	Name               string              `json:"Name"`
	CreatedDate        float64             `json:"CreatedDate"`
	LastChangedDate    float64             `json:"LastChangedDate"`
	VersionIDsToStages map[string][]string `json:"VersionIdsToStages"`
}

// Handler returns the HTTP API. Signatures are not checked.
func (s *Store) Handler() http.Handler {
	return awsjson.New(awsjson.Config{TargetPrefix: targetPrefix, MaxBytes: maxRequestBytes, Operations: map[string]awsjson.Operation{
		"GetSecretValue": awsjson.Of(s.getSecretValue),
		"PutSecretValue": awsjson.Of(s.putSecretValue),
		"DescribeSecret": awsjson.Of(s.describeSecret),
	}})
}

func (s *Store) getSecretValue(in valueRequest) (any, error) {
	one, err := s.lookUp(in.SecretID)
	if err != nil {
		return nil, err
	}
	if in.VersionID != "" && in.VersionID != one.VersionID || in.VersionStage != "" && in.VersionStage != currentStage {
		return nil, notFound("Secrets Manager can't find the specified secret value for this version; only the current one is stored.")
	}
	return valueResponse{
		ARN: one.ARN, Name: one.Name, VersionID: one.VersionID, SecretString: one.Value,
		VersionStages: []string{currentStage}, CreatedDate: awsjson.Seconds(one.Changed),
	}, nil
}

func (s *Store) putSecretValue(in putRequest) (any, error) {
	if in.SecretString == "" {
		return nil, awsjson.Errorf("InvalidParameterException", "SecretString is missing.")
	}
	one, err := s.lookUp(in.SecretID)
	if err != nil {
		return nil, err
	}
	if _, err := s.Set(one.Name, in.SecretString); err != nil {
		return nil, err
	}
	if one, err = s.lookUp(one.Name); err != nil {
		return nil, err
	}
	return putResponse{ARN: one.ARN, Name: one.Name, VersionID: one.VersionID, VersionStages: []string{currentStage}}, nil
}

func (s *Store) describeSecret(in describeRequest) (any, error) {
	one, err := s.lookUp(in.SecretID)
	if err != nil {
		return nil, err
	}
	return describeResponse{
		ARN: one.ARN, Name: one.Name, CreatedDate: awsjson.Seconds(one.Created), LastChangedDate: awsjson.Seconds(one.Changed),
		VersionIDsToStages: map[string][]string{one.VersionID: {currentStage}},
	}, nil
}

// lookUp returns a secret, or an error response.
func (s *Store) lookUp(id string) (secret, error) {
	if id == "" {
		return secret{}, awsjson.Errorf("InvalidParameterException", "SecretId is missing.")
	}
	one, err := s.get(id)
	if errors.Is(err, ErrNotFound) {
		return secret{}, notFound("Secrets Manager can't find the specified secret.")
	}
	return one, err
}

func notFound(message string) error {
	return &awsjson.Error{Type: "ResourceNotFoundException", Message: message}
}
