package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/process"
)

// serviceConfig configures a program that serves HTTP.
type serviceConfig struct {
	binary, address string
	env             []string
	logs            io.Writer
}

// service is a running program that serves HTTP.
type service struct{ process *process.Child }

var _ server = (*service)(nil)

// startService starts the program, and returns when it is ready for requests.
func startService(ctx context.Context, config serviceConfig) (*service, error) {
	// It outlives ctx; only Stop ends it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), config.binary) //nolint:gosec // the project's own program
	cmd.Env = config.env
	cmd.Stdout, cmd.Stderr = config.logs, config.logs
	child, err := process.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	s := &service{child}
	if err := s.awaitReady(ctx, "http://"+config.address+"/readyz"); err != nil {
		s.process.Kill()
		return nil, err
	}
	return s, nil
}

func (s *service) awaitReady(ctx context.Context, url string) error {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("%s: %s", url, response.Status)
		}
		select {
		case <-s.process.Exited():
			return fmt.Errorf("it ended while starting (%w); its log says why", s.process.Err())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("it did not become ready: %w", ctx.Err()), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *service) PID() int                { return s.process.PID() }
func (s *service) Exited() <-chan struct{} { return s.process.Exited() }

// Stop lets the program drain; if ctx ends first, it is killed.
func (s *service) Stop(ctx context.Context) error {
	if !s.process.End(ctx, syscall.SIGTERM) {
		s.process.Kill()
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
