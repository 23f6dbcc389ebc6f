package gateway_test

import "github.com/pion/logging"

// quiet returns a logger that is silent.
func quiet() logging.LoggerFactory {
	f := logging.NewDefaultLoggerFactory()
	f.DefaultLogLevel = logging.LogLevelDisabled
	return f
}
