package k6

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/localstack"
)

// target is the stack that receives the load.
type target struct {
	url             string
	admin, password string
	description     string // for the report
	local           bool
	stack           stackfile.Info // if local
}

// checkTarget returns the host of a URL to which load may be sent: this machine, or the
// allowed host over https.
func checkTarget(address, allowed string) (host string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" ||
		(u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("target %q: %w: want https://host[:port]", address, telemetry.ErrInvalid)
	}
	host = u.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return host, nil
	}
	if !strings.EqualFold(host, allowed) {
		return "", fmt.Errorf("target %s: %w: not this machine; to send load to it, repeat it in -allow-host", host, telemetry.ErrInvalid)
	}
	if u.Scheme != "https" {
		return "", fmt.Errorf("target %s: %w: want https, because passwords and tokens are sent", host, telemetry.ErrInvalid)
	}
	return host, nil
}

// target returns the stack that receives the load. It starts a local one if none runs;
// stop stops it.
func (c Config) target(ctx context.Context) (t target, stop func() error, err error) {
	nothing := func() error { return nil }
	if c.URL != "" {
		host, err := checkTarget(c.URL, c.AllowHost)
		url := strings.TrimRight(c.URL, "/")
		return target{url: url, admin: c.AdminName, password: c.AdminPassword, description: host}, nothing, err
	}
	stack, running := running(ctx, c.State)
	description := "a running local stack"
	stop = nothing
	if !running {
		description = "a new local stack"
		fmt.Fprintln(c.Stdout, "starting a local stack")
		var proc *localstack.Process
		if proc, stack, err = c.Stack.Start(ctx, c.Out); err != nil {
			return target{}, nil, err
		}
		stop = proc.Stop
	}
	_, err = checkTarget(stack.HTTP, "")
	if err == nil && (stack.AdminName == "" || stack.AdminPassword == "") {
		err = fmt.Errorf("%s of the stack has no administrator", stackfile.Name)
	}
	if err != nil {
		return target{}, nil, errors.Join(err, stop())
	}
	return target{
		url: stack.HTTP, admin: stack.AdminName, password: stack.AdminPassword, description: description, local: true, stack: stack,
	}, stop, nil
}

// running returns the stack of a state folder if it responds: a killed stack leaves its
// stack.json behind.
func running(ctx context.Context, state string) (stackfile.Info, bool) {
	stack, err := stackfile.Read(state)
	if err != nil || syscall.Kill(stack.PIDs.Local, 0) != nil {
		return stackfile.Info{}, false
	}
	const wait = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, stack.HTTP+"/.well-known/jwks.json", http.NoBody)
	if err != nil {
		return stackfile.Info{}, false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return stackfile.Info{}, false
	}
	return stack, response.Body.Close() == nil && response.StatusCode == http.StatusOK
}
