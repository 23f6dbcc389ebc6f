package ledger

import (
	"fmt"
	"io"

	"github.com/insighthub/insighthub/loadtest/drive"
)

// Stage is a part of the way of an event, or all of it.
type Stage struct {
	Name string `json:"name"` // from → to
	// By says whose clocks and which program give the two times.
	By string `json:"by"`
	// Modelled stages are published by the cloud's operator and not measured here.
	Modelled bool `json:"modelled,omitempty"`
	drive.Percentiles
}

// Path is the budget of one way from a machine to a person. Times are in ms.
type Path struct {
	Title string `json:"title"`
	// Load says what was sent, and for how long.
	Load   string   `json:"load"`
	Events int      `json:"events"`
	Stages []Stage  `json:"stages"`
	Notes  []string `json:"notes,omitempty"`
}

// Print writes a path as a table in Markdown.
func (p *Path) Print(w io.Writer) {
	fmt.Fprintf(w, "\n## %s\n%s; %d events.\n\n| stage | p50 ms | p95 ms | p99 ms | maximum ms | times by |\n"+
		"| --- | ---: | ---: | ---: | ---: | --- |\n", p.Title, p.Load, p.Events)
	for _, s := range p.Stages {
		if s.Modelled {
			fmt.Fprintf(w, "| *%s* | *%.0f* | | | | %s |\n", s.Name, s.P50, s.By)
			continue
		}
		fmt.Fprintf(w, "| %s | %.2f | %.2f | %.2f | %.2f | %s |\n", s.Name, s.P50, s.P95, s.P99, s.Max, s.By)
	}
	if len(p.Notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, note := range p.Notes {
		fmt.Fprintf(w, "- %s\n", note)
	}
}
