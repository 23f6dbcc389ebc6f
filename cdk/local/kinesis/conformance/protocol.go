package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// protocolCases returns cases with requests that the SDK does not send.
func protocolCases() []testCase {
	return []testCase{
		{name: "a body that is not JSON", run: rejectsBody("ListStreams", `{"Limit":`, "SerializationException")},
		{name: "a member of the wrong type", run: rejectsBody("ListStreams", `{"Limit":"ten"}`, "SerializationException")},
		{name: "data that is not base64", run: rejectsBody("PutRecord",
			`{"StreamName":"s","PartitionKey":"k","Data":"A*=="}`, "SerializationException")},
		{name: "records that are no list", run: rejectsBody("PutRecords", `{"StreamName":"s","Records":"k"}`, "SerializationException")},
		{name: "a record without data", run: rejectsBody("PutRecords",
			`{"StreamName":"s","Records":[{"PartitionKey":"k"}]}`, "ValidationException")},
		{name: "a request without records", run: rejectsBody("PutRecords", `{"StreamName":"s"}`, "ValidationException")},
		{name: "an operation that does not exist", run: rejectsBody("Frobnicate", `{}`, "UnknownOperationException")},
	}
}

// rejectsBody returns a case that posts body and expects the error with status 400.
func rejectsBody(operation, body, want string) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.endpoint, strings.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
		r.Header.Set("X-Amz-Date", "20261123T090000Z")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 "+
			"Credential=local/20261123/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer res.Body.Close() //nolint:errcheck // only read
		var answer struct {
			Type string `json:"__type"`
		}
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
			return fmt.Errorf("status %d: %w", res.StatusCode, err)
		}
		return errors.Join(differ("status", res.StatusCode, http.StatusBadRequest), differ("error", answer.Type, want))
	}
}
