package lambda

import (
	"os/exec"
	"runtime"
	"syscall"
)

// spawner starts processes that die with this one. The kernel sends
// Pdeathsig when the thread that started the child ends, not the process; a
// goroutine that is locked to its thread for as long as there are children is
// what makes the two the same.
type spawner struct {
	begin    func(*exec.Cmd) error
	requests chan spawnRequest
	done     chan struct{}
}

type spawnRequest struct {
	cmd    *exec.Cmd
	result chan<- error
}

func newSpawner(begin func(*exec.Cmd) error) *spawner {
	s := &spawner{begin: begin, requests: make(chan spawnRequest), done: make(chan struct{})}
	go s.run()
	return s
}

func (s *spawner) run() {
	defer close(s.done)
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	for request := range s.requests {
		request.result <- s.begin(request.cmd)
	}
}

// start starts cmd in a process group of its own, so that an interrupt typed
// at the terminal reaches the host alone, which then stops things in order.
func (s *spawner) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	result := make(chan error, 1)
	s.requests <- spawnRequest{cmd: cmd, result: result}
	return <-result
}

// close ends the thread; every child must be dead and no start under way.
func (s *spawner) close() {
	close(s.requests)
	<-s.done
}
