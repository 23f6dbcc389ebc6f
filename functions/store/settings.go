package main

import lambdahost "github.com/insighthub/insighthub/lib/lambda/host"

// settings are read from the environment.
type settings struct {
	secretARN   string // DATABASE_SECRET_ARN
	bucket      string // FAILURE_BUCKET, for the dead letters
	states      string // STATE_BUCKET, for the names of crowded gateways; they are not published without it
	pathStyle   bool   // AWS_S3_PATH_STYLE
	connections int    // DATABASE_CONNECTIONS; an environment handles one invocation at a time
}

func parse(env *lambdahost.Env) settings {
	return settings{
		secretARN:   env.Required("DATABASE_SECRET_ARN"),
		bucket:      env.Required("FAILURE_BUCKET"),
		states:      env.Optional("STATE_BUCKET", ""),
		pathStyle:   env.Bool("AWS_S3_PATH_STYLE", false),
		connections: env.Int("DATABASE_CONNECTIONS", 1, 1, 8),
	}
}
