package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/insighthub/insighthub/cdk/local/process"
)

// serviceConfig configures a program that serves HTTP.
type serviceConfig struct {
	binary, address string
	env             []string
	logs            io.Writer
}

// service is a running program that serves HTTP.
type service struct{ *process.Child }

var _ server = (*service)(nil)

// startService starts the program, and returns when it is ready for requests.
func startService(ctx context.Context, config serviceConfig) (*service, error) {
	cmd := process.ServerCommand(ctx, config.logs, config.binary)
	cmd.Env = config.env
	child, err := process.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	s := &service{child}
	if err := s.awaitReady(ctx, "http://"+config.address+"/readyz"); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

func (s *service) awaitReady(ctx context.Context, url string) error {
	var last error
	err := s.AwaitReady(ctx, func() bool {
		last = get(ctx, url)
		return last == nil
	})
	if err != nil {
		return errors.Join(fmt.Errorf("%w; see its log", err), last)
	}
	return nil
}

// get fails unless the status of the response is 200.
func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

// Stop lets the program drain; if ctx ends first, it is killed.
func (s *service) Stop(ctx context.Context) error {
	if !s.End(ctx, syscall.SIGTERM) {
		s.Kill()
		return fmt.Errorf("it did not end in time: %w", ctx.Err())
	}
	return nil
}

// freeAddress returns an address of the loopback interface with a free port.
func (s *Stack) freeAddress(ctx context.Context) (string, error) {
	l, err := s.listen(ctx, net.JoinHostPort("127.0.0.1", "0"))
	if err != nil {
		return "", err
	}
	address := l.Addr().String()
	return address, l.Close()
}
