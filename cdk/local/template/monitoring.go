package template

import (
	"fmt"
	"regexp"
	"slices"
)

const (
	workspaceType  = "AWS::APS::Workspace"
	ruleGroupsType = "AWS::APS::RuleGroupsNamespace"
)

func (p *Plan) addWorkspace(f *fields) {
	if len(p.Workspaces) > 0 {
		p.Skipped = append(p.Skipped, Skipped{
			f.id, workspaceType, NotEmulated,
			"there is one Prometheus server, for " + p.Workspaces[0].String(),
		})
		return
	}
	p.Workspaces = append(p.Workspaces, Workspace{
		ID: f.id, ARN: f.attribute("Arn"), Endpoint: f.attribute("PrometheusEndpoint"),
	})
}

func (p *Plan) addRuleGroups(f *fields) {
	g := RuleGroups{ID: f.id, Name: f.physical(), WorkspaceARN: f.text("Workspace"), Data: f.text("Data")}
	// The name becomes a file name.
	if f.err == nil && !regexp.MustCompile(`^[0-9A-Za-z][-.0-9A-Z_a-z]*$`).MatchString(g.Name) {
		f.fail("Name", fmt.Errorf("%q: want letters, digits, hyphens, dots and underscores", g.Name))
	}
	p.RuleGroups = append(p.RuleGroups, g)
}

// dropRuleGroups removes the rules of workspaces that are not emulated.
func (p *Plan) dropRuleGroups() {
	p.RuleGroups = slices.DeleteFunc(p.RuleGroups, func(g RuleGroups) bool {
		if slices.ContainsFunc(p.Workspaces, func(w Workspace) bool { return w.ARN == g.WorkspaceARN }) {
			return false
		}
		p.Skipped = append(p.Skipped, Skipped{g.ID, ruleGroupsType, NotEmulated, "its workspace is not emulated"})
		return true
	})
}
