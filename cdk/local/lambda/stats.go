package lambda

import (
	"bytes"
	"cmp"
	"os"
	"slices"
	"strconv"
	"time"
)

// Stats counts the invocations and processes of a function.
type Stats struct {
	// Invocations counts the invocations that ended, including failed ones; Errors counts
	// those with a FunctionError or ended by Close.
	Invocations, Errors uint64
	// Throttles counts the throttled calls, which are not in Invocations.
	Throttles uint64
	// ColdStarts counts the processes that were started.
	ColdStarts uint64
	// Environments is the number of live processes, Busy the number of invocations that
	// run or wait for a cold start.
	Environments, Busy int
	// CPU is the user and system time of all processes, that of live ones to 10 ms.
	CPU time.Duration
	// PIDs lists the live processes in ascending order.
	PIDs []int
}

type counts struct {
	invocations, errors, throttles, coldStarts uint64
	deadCPU                                    time.Duration
}

func (c *counts) addDead(state *os.ProcessState) {
	if state != nil {
		c.deadCPU += state.UserTime() + state.SystemTime()
	}
}

// Stats returns the counts so far.
func (f *Function) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Stats{
		Invocations:  f.counts.invocations,
		Errors:       f.counts.errors,
		Throttles:    f.counts.throttles,
		ColdStarts:   f.counts.coldStarts,
		Environments: len(f.live),
		Busy:         f.inFlight,
		CPU:          f.counts.deadCPU,
		PIDs:         make([]int, 0, len(f.live)),
	}
	for env := range f.live {
		s.PIDs = append(s.PIDs, env.pid)
		s.CPU += processCPU(env.pid)
	}
	slices.SortFunc(s.PIDs, cmp.Compare[int])
	return s
}

// ticksPerSecond is USER_HZ, which Linux fixes at 100 for user space.
const ticksPerSecond = 100

// processCPU reads utime and stime (fields 14 and 15) of /proc/pid/stat; a
// process that has ended has none.
func processCPU(pid int) time.Duration {
	fields := procFields(pid, "stat")
	if len(fields) < 13 {
		return 0
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / ticksPerSecond)
}

// procFields returns the fields of /proc/pid/name. Of stat it returns those after the
// program's name, which may contain spaces: the first is the state, field 3.
func procFields(pid int, name string) [][]byte {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + name) //nolint:gosec // the kernel's own files
	if err != nil {
		return nil
	}
	if end := bytes.LastIndexByte(data, ')'); end >= 0 {
		data = data[end+1:]
	}
	return bytes.Fields(data)
}

// residentBytes is the second field of /proc/pid/statm, in pages.
func residentBytes(pid int) int64 {
	fields := procFields(pid, "statm")
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
