package stack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// built is where the programs under test are.
type built struct {
	functions string // NAME/bootstrap
	local     string // the stack's own program
	loadtest  string // the fleet
	err       error
}

// builder builds them once for all tests.
type builder struct {
	once sync.Once
	dir  string
	built
}

var programs builder

func TestMain(m *testing.M) {
	code := m.Run()
	if programs.dir != "" {
		_ = os.RemoveAll(programs.dir)
	}
	os.Exit(code)
}

func build(t *testing.T) built {
	t.Helper()
	programs.once.Do(programs.build)
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return programs.built
}

func (b *builder) build() {
	if b.dir, b.err = os.MkdirTemp("", "insighthub-stack-"); b.err != nil {
		return
	}
	bin := filepath.Join(b.dir, "bin")
	b.functions, b.local, b.loadtest = b.dir, filepath.Join(bin, "local"), filepath.Join(bin, "loadtest")
	const module = "github.com/insighthub/insighthub/"
	cmd := exec.Command("go", "build", "-buildvcs=false", "-tags", "lambda.norpc", "-o", bin+"/",
		module+"functions/...", module+"signaling", module+"cdk/local", module+"loadtest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.err = fmt.Errorf("build the programs: %w\n%s", err, out)
		return
	}
	built, err := os.ReadDir(bin)
	for _, program := range built {
		// The host looks for NAME/bootstrap.
		dir := filepath.Join(b.dir, program.Name())
		err = errors.Join(err, os.Mkdir(dir, 0o700), os.Link(filepath.Join(bin, program.Name()), filepath.Join(dir, "bootstrap")))
	}
	b.err = err
}
