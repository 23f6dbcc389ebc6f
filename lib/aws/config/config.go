// Package config makes the AWS SDK's configuration of a function from the environment, and
// signs requests to services for which the SDK has no client.
//
// It reads the variables that Lambda (and the local stack) sets and nothing else: no
// profiles, no instance metadata, no single sign-on. The SDK's own loader links all of these:
// 1.8 MB, half a millisecond of package initialisation, and files that it looks for on each
// cold start.
package config

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Load returns the SDK configuration of a function from its environment:
//
//   - AWS_REGION (or AWS_DEFAULT_REGION), required;
//   - AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, required, and
//     AWS_SESSION_TOKEN. Lambda sets them once for the lifetime of an execution
//     environment;
//   - or, in a container of ECS, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: the credentials of
//     the task's role are fetched, and again before they expire;
//   - AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE>, both optional, which replace the
//     region's endpoints, unless
//     AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is "true".
//
// The error names every variable that is missing.
func Load(getenv func(string) string) (aws.Config, error) {
	var problems []error
	first := func(names ...string) string {
		for _, name := range names {
			if v := getenv(name); v != "" {
				return v
			}
		}
		problems = append(problems, fmt.Errorf("%s: not set", strings.Join(names, " or ")))
		return ""
	}
	region := first("AWS_REGION", "AWS_DEFAULT_REGION")
	var provider aws.CredentialsProvider
	if path := getenv(containerURI); path != "" && getenv("AWS_ACCESS_KEY_ID") == "" {
		if !strings.HasPrefix(path, "/") {
			problems = append(problems, fmt.Errorf("%s: not a path that starts with a slash", containerURI))
		}
		provider = newContainerCredentials(containerHost, path)
	} else {
		credentials := aws.Credentials{
			AccessKeyID:     first("AWS_ACCESS_KEY_ID"),
			SecretAccessKey: first("AWS_SECRET_ACCESS_KEY"),
			SessionToken:    getenv("AWS_SESSION_TOKEN"),
			Source:          "environment",
		}
		provider = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, nil })
	}
	if len(problems) > 0 {
		return aws.Config{}, fmt.Errorf("aws configuration: %w", errors.Join(problems...))
	}
	return aws.Config{
		Region:        region,
		Credentials:   provider,
		HTTPClient:    NewHTTPClient(),
		ConfigSources: []any{endpoints{getenv}},
	}, nil
}

// endpoints returns the endpoints that the environment names to the SDK's service clients; it
// has the methods that they look for in Config.ConfigSources.
type endpoints struct{ getenv func(string) string }

// GetServiceBaseEndpoint returns the endpoint of a service by its SDK id ("Kinesis",
// "Secrets Manager").
func (e endpoints) GetServiceBaseEndpoint(_ context.Context, sdkID string) (string, bool, error) {
	name := "AWS_ENDPOINT_URL_" + strings.ToUpper(strings.ReplaceAll(sdkID, " ", "_"))
	for _, n := range []string{name, "AWS_ENDPOINT_URL"} {
		if v := e.getenv(n); v != "" {
			return v, true, nil
		}
	}
	return "", false, nil
}

// GetIgnoreConfiguredEndpoints reports whether the SDK ignores the two variables.
func (e endpoints) GetIgnoreConfiguredEndpoints(context.Context) (value, found bool, err error) {
	v := e.getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
	return strings.EqualFold(v, "true"), v != "", nil
}
