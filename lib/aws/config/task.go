package config

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
)

// taskEndpoint is where a container of ECS gets the credentials of its task's role.
const taskEndpoint = "http://169.254.170.2"

// LoadTask is Load for a container of Amazon ECS: if the agent has set
// AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, the credentials are those of the task's role, which
// the agent renews. AWS_CONTAINER_CREDENTIALS_FULL_URI names another agent.
func LoadTask(getenv func(string) string) (aws.Config, error) {
	address := getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if path := getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); path != "" {
		address = taskEndpoint + path
	}
	if address == "" {
		return Load(getenv)
	}
	if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return aws.Config{}, errors.New("aws configuration: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI: not a valid URL")
	}
	// Load wants credentials of the environment, which a task does not have.
	config, err := Load(func(name string) string {
		switch name {
		case "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY":
			return "task"
		}
		return getenv(name)
	})
	if err != nil {
		return aws.Config{}, fmt.Errorf("in a task: %w", err)
	}
	config.Credentials = aws.NewCredentialsCache(endpointcreds.New(address, func(o *endpointcreds.Options) {
		o.AuthorizationToken = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	}))
	return config, nil
}
