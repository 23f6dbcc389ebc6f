package process

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// niceness of low-priority processes: such a process gets a tenth of the time that one of
// normal priority gets on the same processor, and all of it on an idle one.
const niceness = 10

// StartNice starts cmd at low priority. Background work, such as a scheduled function, has
// its own machine in AWS; here it gets the processor time that the other processes leave.
//
// The calling goroutine must be locked to its thread, and must end without unlocking it:
// niceness belongs to a thread, a process inherits that of the thread that starts it, and
// only root can lower it. The process leads its own session. Where the kernel shares the
// processors between sessions first (sched_autogroup), the session's niceness is set.
func StartNice(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setpgid = true, false // a session leader is a group leader, and must not request to be one
	const thisThread = 0
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, thisThread, niceness); err != nil {
		return fmt.Errorf("start %s at low priority: %w", cmd.Path, err)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	// The file is missing where the kernel has no autogroups, or if the process has ended.
	_ = os.WriteFile("/proc/"+strconv.Itoa(cmd.Process.Pid)+"/autogroup", []byte(strconv.Itoa(niceness)), 0)
	return nil
}
