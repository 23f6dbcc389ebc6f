package ledger

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/insighthub/insighthub/loadtest/benchfile"
)

// Report is the content of ledger.json.
type Report struct {
	Machine string `json:"machine"`
	Commit  string `json:"commit"`
	Date    string `json:"date"`
	Paths   []Path `json:"paths"`
}

// NewReport says where the paths were measured.
func NewReport(ctx context.Context, paths ...Path) Report {
	return Report{
		Machine: fmt.Sprintf("%s, %d cores", benchfile.Machine(), runtime.NumCPU()), Commit: benchfile.Commit(ctx),
		Date: time.Now().UTC().Format(time.DateOnly), Paths: paths,
	}
}

// Print writes the report in Markdown.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "%s, commit %s, %s\n", r.Machine, r.Commit, r.Date)
	for i := range r.Paths {
		r.Paths[i].Print(w)
	}
}

// Write writes ledger.json and ledger.md into a folder.
func (r *Report) Write(dir string) error {
	if err := benchfile.Write(filepath.Join(dir, "ledger.json"), r); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "ledger.md")) //nolint:gosec // in the folder that the user named
	if err != nil {
		return err
	}
	r.Print(f)
	return f.Close()
}
