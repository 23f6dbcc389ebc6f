// Package cputime sums the processor time of the local stack's processes by part of the
// platform.
package cputime

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// process is a line of /proc/<pid>/stat.
type process struct {
	pid, parent int
	name        string
	own, reaped float64 // CPU-seconds of itself and of the children it has waited for
}

// ByPart sums the CPU-seconds of all processes below the given roots, by part of the
// pipeline. Children that have ended count with the process that waited for them.
func ByPart(roots map[int]string) (map[string]float64, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for _, p := range all {
		part := partOf(all, p, roots)
		if part != "" {
			out[part] += p.own + p.reaped
		}
	}
	return out, nil
}

// partOf walks up to the nearest root and names the part that p belongs to, or "". The
// processes of a browser are told apart by their kind.
func partOf(all map[int]process, p process, roots map[int]string) string {
	for q, ok := p, true; ok; q, ok = all[q.parent] {
		if part, isRoot := roots[q.pid]; isRoot {
			if name := functionName(p.pid); name != "" {
				return name
			}
			if kind := kindOf(p.pid); kind != "" {
				return part + ", " + kind
			}
			return part
		}
	}
	return ""
}

// functionName returns the function whose execution environment the process is, or "".
func functionName(pid int) string {
	env, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return ""
	}
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if name, ok := bytes.CutPrefix(v, []byte("INSIGHTHUB_FUNCTION=")); ok {
			return string(name)
		}
	}
	return ""
}

// kindOf returns the kind of a process of Chromium, such as renderer, or the service that it
// runs, such as network; "" for other processes.
func kindOf(pid int) string {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return ""
	}
	kind := ""
	// A process that a zygote has forked has blanks between its arguments.
	for argument := range bytes.FieldsFuncSeq(raw, func(r rune) bool { return r == 0 || r == ' ' }) {
		if value, ok := bytes.CutPrefix(argument, []byte("--type=")); ok && kind == "" {
			kind = string(value)
		}
		if value, ok := bytes.CutPrefix(argument, []byte("--utility-sub-type=")); ok {
			service, _, _ := bytes.Cut(value, []byte("."))
			kind = string(service)
		}
	}
	return kind
}

func processes() (map[int]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("read CPU times: %w", err)
	}
	out := map[int]process{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // it has ended
		}
		if p, ok := parseStat(pid, string(stat)); ok {
			out[pid] = p
		}
	}
	return out, nil
}

// parseStat reads a line of proc_pid_stat(5); the name may contain spaces and parentheses.
func parseStat(pid int, stat string) (process, bool) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	f := strings.Fields(stat[end+1:])
	if len(f) < 15 {
		return process{}, false
	}
	ticks := func(i int) float64 {
		n, err := strconv.ParseFloat(f[i], 64)
		if err != nil {
			return 0
		}
		return n / ticksPerSecond
	}
	parent, err := strconv.Atoi(f[1])
	return process{
		pid: pid, parent: parent, name: stat[open+1 : end],
		own: ticks(11) + ticks(12), reaped: ticks(13) + ticks(14),
	}, err == nil
}

// Own returns the CPU-seconds of this process, the load generator.
func Own() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
