package signaling

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// resident returns the resident memory of a process in bytes (proc(5), statm).
func resident(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm of process %d: got %q", pid, raw)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return float64(pages * int64(os.Getpagesize())), err
}

// cpu returns the processor time of a process in seconds (proc(5), stat).
func cpu(pid int) (float64, error) {
	const ticksPerSecond, user, system = 100, 11, 12 // USER_HZ; after the name
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw)[strings.LastIndexByte(string(raw), ')')+1:])
	if len(fields) <= system {
		return 0, fmt.Errorf("stat of process %d: got %q", pid, raw)
	}
	u, err1 := strconv.ParseFloat(fields[user], 64)
	s, err2 := strconv.ParseFloat(fields[system], 64)
	return (u + s) / ticksPerSecond, errors.Join(err1, err2)
}

// goroutines returns go_goroutines of the service's /metrics, over a connection of its own.
func goroutines(ctx context.Context, url string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	base, _, _ := strings.Cut(url, "/v1/")
	url = "http" + strings.TrimPrefix(base, "ws") + "/metrics"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			return strconv.Atoi(value)
		}
	}
	return 0, fmt.Errorf("%s has no go_goroutines", url)
}
