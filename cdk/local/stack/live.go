package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/cdk/local/coturn"
	"github.com/insighthub/insighthub/cdk/local/redis"
	"github.com/insighthub/insighthub/cdk/local/template"
)

// The programs of the live path, as the task definitions' metadata names them, and the names
// of their logs. What takes the place of Valkey is redis.
const (
	signalingProgram = "signaling"
	turnProgram      = "coturn"
	redisProgram     = "redis"
)

const (
	liveStart = time.Minute
	// signalingDrain is shorter than in AWS: whoever stops the stack waits for it.
	signalingDrain = time.Second
	liveStop       = 10 * time.Second
)

// live is the servers of the live path; each is nil where the template has none. Like the
// database they are restarted at their addresses.
type live struct {
	redis     *supervisor[*redis.Server]
	turn      *supervisor[*coturn.Server]
	signaling *supervisor[*service]
}

// keep watches a server that runs, and stops it with the stack.
func keep[S server](ctx context.Context, s *Stack, name string, running S, start func(context.Context) (S, error)) *supervisor[S] {
	k := &supervisor[S]{name: name, log: name, startTimeout: liveStart, stopTimeout: liveStop, start: start, printf: s.printf}
	k.supervise(ctx, running)
	s.onClose(name, k.close)
	return k
}

// startLive starts the servers of the live path: the two on which the signaling service
// depends at the same time, then the service.
func (s *Stack) startLive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, liveStart)
	defer cancel()
	turn, hasTurn := s.plan.Task(turnProgram)
	startTurn, err := s.turnStarter(turn, hasTurn)
	if err != nil {
		return err
	}
	startRedis, err := s.redisStarter()
	if err != nil {
		return err
	}
	type result struct {
		server *coturn.Server
		err    error
	}
	turned := make(chan result, 1)
	go func() {
		if !hasTurn {
			turned <- result{}
			return
		}
		server, err := startTurn(ctx, 0)
		turned <- result{server, err}
	}()
	var problems []error
	if startRedis != nil {
		problems = append(problems, s.keepRedis(ctx, startRedis))
	}
	if r := <-turned; r.server != nil {
		port := r.server.Port()
		s.live.turn = keep(ctx, s, turnProgram, r.server, func(ctx context.Context) (*coturn.Server, error) { return startTurn(ctx, port) })
		s.info.Turn = turnURIs(r.server.Addr())
		s.printf("turn       %s, process %d", r.server.Addr(), r.server.PID())
	} else {
		problems = append(problems, r.err)
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	return s.startSignaling(ctx)
}

// redisStarter returns what starts redis at an address; nil where the template has no Valkey.
func (s *Stack) redisStarter() (func(ctx context.Context, listen string) (*redis.Server, error), error) {
	if len(s.plan.Caches) == 0 {
		return nil, nil
	}
	logs, err := s.openLog(redisProgram)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, listen string) (*redis.Server, error) {
		return redis.Start(ctx, redis.Config{Binary: s.cfg.redis(), Listen: listen, Logs: logs})
	}, nil
}

func (s *Stack) keepRedis(ctx context.Context, start func(context.Context, string) (*redis.Server, error)) error {
	running, err := start(ctx, "")
	if err != nil {
		return err
	}
	address := running.Address()
	s.live.redis = keep(ctx, s, redisProgram, running, func(ctx context.Context) (*redis.Server, error) { return start(ctx, address) })
	s.info.Redis = running.URL()
	s.printf("redis      %s, process %d", address, running.PID())
	return nil
}

// localPeers are the options that differ here from those of the task definition: peers on this
// machine, which a server on the internet must reject, are the only ones there are.
func localPeers() []string { return []string{"--allow-loopback-peers", "--allowed-peer-ip=127.0.0.1"} }

// turnStarter returns what starts coturn as the task definition says.
func (s *Stack) turnStarter(t template.Task, wanted bool) (func(ctx context.Context, port int) (*coturn.Server, error), error) {
	if !wanted {
		return nil, nil
	}
	logs, err := s.openLog(turnProgram)
	if err != nil {
		return nil, err
	}
	secret, err := s.secrets.Value(s.secretARNs[t.Secrets["TURN_SECRET"]])
	if err != nil {
		return nil, fmt.Errorf("%s: TURN_SECRET: %w", t, err)
	}
	config := coturn.Config{
		Tree: s.cfg.Coturn, EntryPoint: filepath.Join(t.Image, "entrypoint.sh"), Options: slices.Concat(t.Options, localPeers()),
		Secret: secret, Logs: logs,
	}
	return func(ctx context.Context, port int) (*coturn.Server, error) {
		config.Port = port
		return coturn.Start(ctx, config)
	}, nil
}

func turnURIs(address string) []string {
	return []string{"turn:" + address + "?transport=udp", "turn:" + address + "?transport=tcp"}
}

// startSignaling starts the signaling service with the environment of its task definition.
func (s *Stack) startSignaling(ctx context.Context) error {
	t, wanted := s.plan.Task(signalingProgram)
	if !wanted {
		return nil
	}
	logs, err := s.openLog(signalingProgram)
	if err != nil {
		return err
	}
	address, err := s.freeAddress(ctx)
	if err != nil {
		return err
	}
	config := serviceConfig{
		binary: s.cfg.binary(signalingProgram), address: address, env: s.signalingEnvironment(t, address), logs: io.Writer(logs),
	}
	start := func(ctx context.Context) (*service, error) {
		running, err := startService(ctx, config)
		if err != nil {
			return nil, fmt.Errorf("start signaling: %w", err)
		}
		return running, nil
	}
	running, err := start(ctx)
	if err != nil {
		return err
	}
	s.live.signaling = keep(ctx, s, signalingProgram, running, start)
	s.info.Signaling = "ws://" + address + "/v1/signaling"
	s.printf("signaling  %s, process %d", s.info.Signaling, running.PID())
	return nil
}

// signalingEnvironment returns the task definition's variables with local values.
func (s *Stack) signalingEnvironment(t template.Task, address string) []string {
	env := maps.Clone(t.Env)
	maps.Copy(env, map[string]string{
		"LISTEN": address, "DRAIN_SECONDS": strconv.Itoa(int(signalingDrain.Seconds())), "REDIS_URL": s.info.Redis,
		// Here its clients connect directly.
		"TRUST_FORWARDED_FOR": "false",
		// The pages of this machine, at whatever port and by either name.
		"ORIGINS": strings.TrimSpace(env["ORIGINS"] + " http://127.0.0.1:* http://localhost:*"),
	})
	delete(env, "REDIS_SECRET_ARN") // the local one has no password
	s.localICE(env, "STUN_URLS", "TURN_URLS")
	return s.environmentOf(env)
}

// localICE replaces the addresses of STUN and TURN servers in an environment by the local
// server's, if it names the secret of the stage's own.
func (s *Stack) localICE(env map[string]string, stun, turn string) {
	if s.live.turn == nil || env["TURN_SECRET_ARN"] == "" {
		return
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.live.turn.current().Port()))
	env[stun], env[turn] = "stun:"+address, strings.Join(turnURIs(address), " ")
}
