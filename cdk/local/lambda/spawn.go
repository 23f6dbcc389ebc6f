package lambda

import (
	"os/exec"
	"runtime"
	"syscall"
)

// spawner starts processes that die with this one. The kernel sends Pdeathsig when the
// thread that started the child ends, not when the process does. So a goroutine that is
// locked to its thread starts all children and lives as long as they do.
type spawner struct {
	startCmd func(*exec.Cmd) error
	requests chan spawnRequest
	done     chan struct{}
}

type spawnRequest struct {
	cmd    *exec.Cmd
	result chan<- error
}

func newSpawner(startCmd func(*exec.Cmd) error) *spawner {
	s := &spawner{startCmd: startCmd, requests: make(chan spawnRequest), done: make(chan struct{})}
	go s.run()
	return s
}

func (s *spawner) run() {
	defer close(s.done)
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	for request := range s.requests {
		request.result <- s.startCmd(request.cmd)
	}
}

// start starts cmd in a process group of its own, so that an interrupt from the terminal
// reaches only the emulator, which then stops everything in order.
func (s *spawner) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	result := make(chan error, 1)
	s.requests <- spawnRequest{cmd: cmd, result: result}
	return <-result
}

// close ends the thread. All children must have ended, and no start may be in progress.
func (s *spawner) close() {
	close(s.requests)
	<-s.done
}
