package host

import (
	"github.com/aws/aws-sdk-go-v2/aws"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
)

// Host is what every function stands on: AWS, and its own metrics.
type Host struct {
	AWS aws.Config
	*Instruments
}

// NewHost reads the environment of awsconfig.Load and of NewInstruments.
func NewHost(getenv func(string) string) (Host, error) {
	cfg, err := awsconfig.Load(getenv)
	if err != nil {
		return Host{}, err
	}
	instruments, err := NewInstruments(getenv, cfg)
	return Host{cfg, instruments}, err
}
