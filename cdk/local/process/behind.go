package process

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// niceness is how far behind: on a processor that others want too such a process gets a
// tenth of what one of them gets, and on one that is free, everything.
const niceness = 10

// Behind starts cmd as a process that gives way to the others of this machine: what
// nobody waits for, such as a function that runs by a schedule, has a machine of its own
// in AWS, and here takes the processors that are left.
//
// The calling goroutine must be locked to its thread, and must end without unlocking it:
// niceness is a thread's, which what it starts inherits, and a user other than root can
// not take it back. The process leads a session of its own. Where the kernel shares the
// processors between sessions before it looks at niceness within one (sched_autogroup), it
// is the session that gives way.
func Behind(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setpgid = true, false // a session's leader leads its group, and may not ask for it
	const thisThread = 0
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, thisThread, niceness); err != nil {
		return fmt.Errorf("start %s behind others: %w", cmd.Path, err)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	// There is no such file where sessions share nothing, or when the process has ended.
	_ = os.WriteFile("/proc/"+strconv.Itoa(cmd.Process.Pid)+"/autogroup", []byte(strconv.Itoa(niceness)), 0)
	return nil
}
