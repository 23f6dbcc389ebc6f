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

// target is what is put under load.
type target struct {
	url             string
	admin, password string
	what            string // for the report
	local           bool
	stack           stackfile.Info // if it is local
}

// checkTarget returns the host of an address that may be put under load: one of this
// machine, or one that is named once more as allowed, over https.
func checkTarget(address, allowed string) (host string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" ||
		(u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("target %q: %w: want https://host", address, telemetry.ErrInvalid)
	}
	host = u.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return host, nil
	}
	if !strings.EqualFold(host, allowed) {
		return "", fmt.Errorf("target %s: %w: it is not this machine; to put load on it name it with -allow-host too", host, telemetry.ErrInvalid)
	}
	if u.Scheme != "https" {
		return "", fmt.Errorf("target %s: %w: passwords and tokens go to another machine over https only", host, telemetry.ErrInvalid)
	}
	return host, nil
}

// target finds what to put under load, and starts it when it is not there. stop ends
// what was started.
func (c Config) target(ctx context.Context) (t target, stop func() error, err error) {
	nothing := func() error { return nil }
	if c.URL != "" {
		host, err := checkTarget(c.URL, c.AllowHost)
		return target{url: strings.TrimRight(c.URL, "/"), admin: c.AdminName, password: c.AdminPassword, what: host}, nothing, err
	}
	stack, running := running(ctx, c.State)
	what := "the local stack that was running"
	stop = nothing
	if !running {
		what = "a local stack of its own, empty at first"
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
	return target{url: stack.HTTP, admin: stack.AdminName, password: stack.AdminPassword, what: what, local: true, stack: stack}, stop, nil
}

// running reports whether a stack answers that has its addresses in the folder: one
// that was killed leaves them behind.
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
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return stackfile.Info{}, false
	}
	return stack, answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
}
