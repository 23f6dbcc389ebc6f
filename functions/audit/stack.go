package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// stackInfo is what of a local stack's stack.json is used.
type stackInfo struct {
	HTTP          string            `json:"http"`
	Prometheus    string            `json:"prometheus"`
	KMS           string            `json:"kms"`
	Objects       string            `json:"objects"`
	Buckets       map[string]string `json:"buckets"` // by the variables that name them
	SigningKey    string            `json:"signing_key"`
	Issuer        string            `json:"issuer"`
	Audience      string            `json:"audience"`
	AdminName     string            `json:"admin_name"`
	AdminPassword string            `json:"admin_password"`
}

func readStack(path string) (stackInfo, error) {
	var info stackInfo
	raw, err := os.ReadFile(path) //nolint:gosec // the user's own file
	if errors.Is(err, fs.ErrNotExist) {
		return info, fmt.Errorf("no stack is running, there is no %s; make run starts one", path)
	}
	if err == nil {
		err = json.Unmarshal(raw, &info)
	}
	if err != nil {
		return info, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

// getenv is the environment that the stack's functions have.
func (i stackInfo) getenv(name string) string {
	switch name {
	case "API_URL":
		return i.HTTP
	case "PROMETHEUS_URL":
		return i.Prometheus
	case "TOKEN_ISSUER":
		return i.Issuer
	case "TOKEN_AUDIENCE":
		return i.Audience
	case "SIGNING_KEYS":
		if i.SigningKey == "" {
			return ""
		}
		return fmt.Sprintf(`[{"key":%q}]`, i.SigningKey)
	case "AWS_REGION":
		if parts := strings.Split(i.SigningKey, ":"); len(parts) > 3 {
			return parts[3]
		}
		return ""
	case "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY":
		return "local"
	case "AWS_ENDPOINT_URL_KMS":
		return i.KMS
	case "AWS_ENDPOINT_URL_S3":
		return i.Objects
	case "AWS_S3_PATH_STYLE":
		return "true"
	default:
		return i.Buckets[name]
	}
}
