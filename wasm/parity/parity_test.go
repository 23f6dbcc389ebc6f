package parity

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const modulePath = "../../web/public/detector.wasm"

// lacking skips a test that needs what make test provides, or fails it if all tests are
// required.
func lacking(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv("INSIGHTHUB_TEST_REQUIRED") == "1" || os.Getenv("CI") == "true" {
		tb.Fatal(what)
	}
	tb.Skip(what)
}

func builtModule(tb testing.TB) string {
	tb.Helper()
	if _, err := os.Stat(modulePath); err != nil {
		lacking(tb, "the module is not built: make wasm")
	}
	return modulePath
}

// series returns the generated series, and every column of the CSV files below the
// directories in INSIGHTHUB_PARITY_FILES.
func series(t *testing.T) []*Series {
	t.Helper()
	all := Generated()
	for _, dir := range filepath.SplitList(os.Getenv("INSIGHTHUB_PARITY_FILES")) {
		read, err := readCSVs(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d series below %s", len(read), dir)
		all = append(all, read...)
	}
	return all
}

// scored is a set of series, their files and the digest of this process.
type scored struct {
	series []*Series
	files  []string
	digest []byte
}

func score(t *testing.T) *scored {
	t.Helper()
	s := &scored{series: series(t)}
	dir := t.TempDir()
	if err := WriteFiles(dir, s.series); err != nil {
		t.Fatal(err)
	}
	for _, one := range s.series {
		var err error
		if s.digest, err = AppendDigest(s.digest, one); err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, filepath.Join(dir, one.Name))
	}
	t.Logf("%d digests of %d series", bytes.Count(s.digest, []byte("\n")), len(s.series))
	return s
}

// equal compares the digest of another platform with that of this process.
func (s *scored) equal(t *testing.T, platform string, got []byte) {
	t.Helper()
	if bytes.Equal(got, s.digest) {
		return
	}
	want := strings.Split(string(s.digest), "\n")
	have := strings.Split(string(got), "\n")
	if len(have) != len(want) {
		t.Errorf("%s: got %d lines, want %d", platform, len(have)-1, len(want)-1)
	}
	differing := map[string]bool{}
	for i := range min(len(have), len(want)) {
		name, _, _ := strings.Cut(want[i], " ")
		if have[i] == want[i] || differing[name] {
			continue
		}
		differing[name] = true
		t.Errorf("%s: the first difference in %s:\n got %s\nwant %s", platform, name, have[i], want[i])
	}
}

func TestParity(t *testing.T) {
	s := score(t)

	t.Run("wazero", func(t *testing.T) {
		h := newHost(t, builtModule(t))
		var digest []byte
		for _, one := range s.series {
			by, err := h.scorer(one.Sensors)
			if err != nil {
				t.Fatal(err)
			}
			if digest, err = appendDigest(digest, one, by); err != nil {
				t.Fatal(err)
			}
		}
		s.equal(t, "the module under wazero", digest)
	})

	t.Run("node", func(t *testing.T) {
		node, err := exec.LookPath("node")
		if err != nil {
			lacking(t, "node is missing")
		}
		s.equal(t, "the module under Node.js", output(t, nil, node, append([]string{"node.mjs", builtModule(t)}, s.files...)...))
	})

	for _, p := range processors() {
		t.Run(p.name, func(t *testing.T) {
			command := p.command(t)
			program := filepath.Join(t.TempDir(), "digest")
			output(t, append(p.env, "CGO_ENABLED=0", "GOOS=linux"), "go", "build", "-o", program, "./cmd/digest")
			command = append(command, program)
			s.equal(t, "Go for "+p.name, output(t, nil, command[0], append(command[1:], s.files...)...))
		})
	}
}

// processor is another processor as a target of Go.
type processor struct {
	name string
	env  []string
	qemu string // the emulator, empty if this machine can run it
}

// processors returns processors for which Go, unlike for amd64 by default, may fuse a
// multiplication and an addition. s390x is also big-endian.
func processors() []processor {
	all := []processor{
		{name: "arm64", env: []string{"GOARCH=arm64"}, qemu: "qemu-aarch64-static"},
		{name: "s390x", env: []string{"GOARCH=s390x"}, qemu: "qemu-s390x-static"},
	}
	if runtime.GOARCH == "arm64" {
		all[0].qemu = ""
	}
	if flags, err := os.ReadFile("/proc/cpuinfo"); err == nil && runtime.GOARCH == "amd64" &&
		slices.Contains(strings.Fields(string(flags)), "fma") && slices.Contains(strings.Fields(string(flags)), "avx2") {
		all = append(all, processor{name: "amd64-v3", env: []string{"GOARCH=amd64", "GOAMD64=v3"}})
	}
	return all
}

// command returns the command that runs a program on the processor.
func (p processor) command(t *testing.T) []string {
	t.Helper()
	if p.qemu == "" {
		return nil
	}
	path, err := filepath.Abs("../../.local/qemu/bin/" + p.qemu)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return []string{path}
	}
	if path, err = exec.LookPath(p.qemu); err != nil {
		lacking(t, p.qemu+" is missing: make tools")
	}
	return []string{path}
}

func output(t *testing.T, env []string, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, stderr.String())
	}
	return out
}
