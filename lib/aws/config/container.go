package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// containerURI is the variable in which ECS gives a container the path of its task role's
// credentials, below containerHost (Amazon ECS Developer Guide, "Task IAM role").
const (
	containerURI  = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
	containerHost = "http://169.254.170.2"
)

const (
	// renewBefore is how long before their expiry credentials are fetched again: ECS has new
	// ones some minutes earlier.
	renewBefore         = 2 * time.Minute
	containerTimeout    = 5 * time.Second
	maxCredentialsBytes = 64 << 10
)

// containerCredentials fetches the credentials of the task's role, which last for hours.
type containerCredentials struct {
	url    string
	client *http.Client
}

// newContainerCredentials caches them until they expire.
func newContainerCredentials(host, path string) aws.CredentialsProvider {
	// Without a proxy: the address is on the machine's own link.
	client := &http.Client{Timeout: containerTimeout, Transport: &http.Transport{}}
	return aws.NewCredentialsCache(containerCredentials{host + path, client}, func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow = renewBefore
	})
}

// Retrieve requests the credentials. An error names neither them nor the path, which is secret.
func (c containerCredentials) Retrieve(ctx context.Context) (_ aws.Credentials, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("credentials of the task's role: %w", err)
		}
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, http.NoBody)
	if err != nil {
		return aws.Credentials{}, errors.New(containerURI + " is not a path")
	}
	response, err := c.client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return aws.Credentials{}, ctx.Err()
		}
		return aws.Credentials{}, errors.New("the credentials endpoint of ECS cannot be reached")
	}
	defer response.Body.Close() //nolint:errcheck // read only
	if response.StatusCode != http.StatusOK {
		return aws.Credentials{}, fmt.Errorf("the credentials endpoint of ECS: status %d", response.StatusCode)
	}
	var got struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      time.Time
	}
	err = json.NewDecoder(io.LimitReader(response.Body, maxCredentialsBytes)).Decode(&got)
	if err != nil || got.AccessKeyID == "" || got.SecretAccessKey == "" || got.Expiration.IsZero() {
		return aws.Credentials{}, errors.New("the credentials endpoint of ECS: a response without credentials")
	}
	return aws.Credentials{
		AccessKeyID: got.AccessKeyID, SecretAccessKey: got.SecretAccessKey, SessionToken: got.Token,
		CanExpire: true, Expires: got.Expiration, Source: "task role",
	}, nil
}
