package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// response is the response of a function in payload format 2.0.
type response struct {
	StatusCode      int                        `json:"statusCode"`
	Headers         map[string]json.RawMessage `json:"headers"`
	Cookies         []string                   `json:"cookies"`
	Body            string                     `json:"body"`
	IsBase64Encoded bool                       `json:"isBase64Encoded"`

	contentType string // when Headers has none
}

// parseResponse parses the response of a function. JSON without a statusCode is itself the
// body of a 200; the body of a JSON string is its text.
func parseResponse(payload []byte) (*response, error) {
	r := &response{contentType: "text/plain;charset=utf-8"}
	payload = bytes.TrimSpace(payload)
	if len(payload) > 0 && payload[0] == '{' {
		if err := decodeResponse(payload, r); err != nil {
			return nil, fmt.Errorf("response %.100q: %w", payload, err)
		}
		if r.StatusCode != 0 {
			return r, r.check()
		}
		var members struct {
			StatusCode json.RawMessage `json:"statusCode"`
		}
		if err := json.Unmarshal(payload, &members); err == nil && members.StatusCode != nil {
			return nil, errors.New("response has status code 0")
		}
	} else if !json.Valid(payload) {
		return nil, fmt.Errorf("response %.100q is not valid JSON", payload)
	}
	inferred := &response{StatusCode: http.StatusOK, Body: string(payload), contentType: "application/json"}
	if payload[0] == '"' {
		if err := json.Unmarshal(payload, &inferred.Body); err != nil {
			return nil, fmt.Errorf("response %.100q: %w", payload, err)
		}
	}
	return inferred, nil
}

// check validates the response and decodes its body.
func (r *response) check() error {
	if r.StatusCode < http.StatusOK || r.StatusCode > 599 {
		return fmt.Errorf("response has status code %d, want 200 to 599", r.StatusCode)
	}
	for name, value := range r.Headers {
		if len(value) > 0 && (value[0] == '{' || value[0] == '[') {
			return fmt.Errorf("response header %q is not a string, number or boolean", name)
		}
	}
	if r.IsBase64Encoded {
		body, err := base64.StdEncoding.DecodeString(r.Body)
		if err != nil {
			return fmt.Errorf("response body: %w", err)
		}
		r.Body = string(body)
	}
	return nil
}

func (r *response) write(w http.ResponseWriter) {
	h := w.Header()
	for name, value := range r.Headers {
		text := string(value)
		if len(value) > 0 && value[0] == '"' && json.Unmarshal(value, &text) != nil {
			continue
		}
		h.Set(name, text)
	}
	for _, cookie := range r.Cookies {
		h.Add("Set-Cookie", cookie)
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", r.contentType)
	}
	h.Del("Transfer-Encoding") // the server sets it
	if r.StatusCode != http.StatusNoContent && r.StatusCode != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(r.Body)))
	}
	w.WriteHeader(r.StatusCode)
	_, _ = io.WriteString(w, r.Body)
}
