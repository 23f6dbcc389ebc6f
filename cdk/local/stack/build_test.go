package stack

import (
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
	b.functions, b.local, b.loadtest = b.dir, filepath.Join(b.dir, "insighthub-local"), filepath.Join(b.dir, "loadtest")
	outputs := map[string]string{b.local: "cdk/local", b.loadtest: "loadtest"}
	for _, name := range []string{"access", "api", "audit", "authorizer", "bridge", "detect", "ingest", "migrate", "refusals", "store"} {
		outputs[filepath.Join(b.dir, name, "bootstrap")] = "functions/" + name
	}
	for path, source := range outputs {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-tags", "lambda.norpc",
			"-o", path, "github.com/insighthub/insighthub/"+source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("build %s: %w\n%s", source, err, out)
			return
		}
	}
}
