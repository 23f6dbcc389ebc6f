package cputime

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/insighthub/insighthub/lib/eventually"
)

func TestParseStat(t *testing.T) {
	p, ok := parseStat(7, "7 (a (b) c) S 3 7 7 0 -1 4194304 1 2 3 4 150 50 50 25 20 0 1 0 100 1 1")
	if !ok || p.parent != 3 || p.name != "a (b) c" || p.own != 2 || p.reaped != 0.75 {
		t.Errorf("got %+v, %v", p, ok)
	}
	if _, ok := parseStat(7, "7 a"); ok {
		t.Error("got a process from a line without a name, want none")
	}
}

// TestByPart finds the CPU time of a child process under its root.
func TestByPart(t *testing.T) {
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	cmd.Env = []string{"INSIGHTHUB_FUNCTION=spin", "PATH=/usr/bin:/bin"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	eventually.NoError(t, "the child's CPU time", func() error {
		got, err := ByPart(map[int]string{os.Getpid(): "self"})
		if err != nil {
			t.Fatal(err)
		}
		if got["spin"] == 0 {
			return fmt.Errorf("got %v, want time of spin", got)
		}
		return nil
	})
}

// TestKinds tells the processes of a browser apart, however their arguments are separated.
func TestKinds(t *testing.T) {
	for want, arguments := range map[string][]string{
		"renderer": {"--type=renderer --enable-features=a"},
		"network":  {"--type=utility", "--utility-sub-type=network.mojom.NetworkService"},
		"":         {"--kind=other"},
	} {
		cmd := exec.Command("sh", append([]string{"-c", "while :; do :; done", "sh"}, arguments...)...)
		cmd.Env = []string{"PATH=/usr/bin:/bin"}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually.NoError(t, "the process has its arguments", func() error {
			if got := kindOf(cmd.Process.Pid); got != want {
				return fmt.Errorf("got kind %q, want %q", got, want)
			}
			return nil
		})
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if got := kindOf(-1); got != "" {
		t.Errorf("no process: got %q", got)
	}
}
