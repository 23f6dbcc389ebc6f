package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// StageTag is the tag of a stack, in the assembly's manifest, that names its stage.
const StageTag = "insighthub:stage"

// ErrNoAssembly says that the folder has no cloud assembly, or none of the stage.
var ErrNoAssembly = errors.New("no cloud assembly")

const (
	defaultAccount = "000000000000"
	defaultRegion  = "eu-central-1"
)

// manifest is the used part of a cloud assembly's manifest.json.
type manifest struct {
	Artifacts map[string]struct {
		Type        string `json:"type"`
		Environment string `json:"environment"`
		Properties  struct {
			TemplateFile  string            `json:"templateFile"`
			StackName     string            `json:"stackName"`
			Tags          map[string]string `json:"tags"`
			DirectoryName string            `json:"directoryName"`
		} `json:"properties"`
	} `json:"artifacts"`
}

// stack is a template and its account and region.
type stack struct {
	name     string
	stage    string
	account  string
	region   string
	template document
}

// document is a CloudFormation template.
type document struct {
	Parameters map[string]struct {
		Type    string `json:"Type"`
		Default any    `json:"Default"`
	} `json:"Parameters"`
	Mappings   map[string]map[string]map[string]any `json:"Mappings"`
	Conditions map[string]any                       `json:"Conditions"`
	Resources  map[string]resource                  `json:"Resources"`
	Outputs    map[string]struct {
		Condition string `json:"Condition"`
		Value     any    `json:"Value"`
		Export    struct {
			Name any `json:"Name"`
		} `json:"Export"`
	} `json:"Outputs"`
}

type resource struct {
	Type       string         `json:"Type"`
	Condition  string         `json:"Condition"`
	Properties map[string]any `json:"Properties"`
	Metadata   map[string]any `json:"Metadata"`
}

// readAssembly reads the stacks of an assembly and of its nested assemblies.
func readAssembly(dir string) ([]*stack, error) {
	var m manifest
	if err := readJSON(filepath.Join(dir, "manifest.json"), &m); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w in %s", ErrNoAssembly, dir)
		}
		return nil, err
	}
	var stacks []*stack
	for id, a := range m.Artifacts {
		switch a.Type {
		case "cdk:cloud-assembly":
			nested, err := readAssembly(filepath.Join(dir, filepath.FromSlash(a.Properties.DirectoryName)))
			if err != nil {
				return nil, err
			}
			stacks = append(stacks, nested...)
		case "aws:cloudformation:stack":
			s := &stack{name: a.Properties.StackName, stage: a.Properties.Tags[StageTag]}
			if s.name == "" {
				s.name = id
			}
			s.account, s.region = environment(a.Environment)
			if err := readJSON(filepath.Join(dir, filepath.FromSlash(a.Properties.TemplateFile)), &s.template); err != nil {
				return nil, fmt.Errorf("stack %s: %w", s.name, err)
			}
			stacks = append(stacks, s)
		}
	}
	slices.SortFunc(stacks, func(a, b *stack) int { return strings.Compare(a.name, b.name) })
	return stacks, nil
}

// environment reads aws://account/region.
func environment(s string) (account, region string) {
	account, region, _ = strings.Cut(strings.TrimPrefix(s, "aws://"), "/")
	if account == "" || strings.HasPrefix(account, "unknown") {
		account = defaultAccount
	}
	if region == "" || strings.HasPrefix(region, "unknown") {
		region = defaultRegion
	}
	return account, region
}

// ofStage returns the stacks of a stage. Stacks without the tag belong to each.
func ofStage(stacks []*stack, stage string) ([]*stack, error) {
	var chosen []*stack
	var others []string
	for _, s := range stacks {
		if s.stage == "" || stage == "" || s.stage == stage {
			chosen = append(chosen, s)
		} else if !slices.Contains(others, s.stage) {
			others = append(others, s.stage)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("%w for stage %q: the stages are %s", ErrNoAssembly, stage, strings.Join(others, ", "))
	}
	return chosen, nil
}

func readJSON(path string, into any) error {
	raw, err := os.ReadFile(path) //nolint:gosec // the path is the caller's assembly
	if err != nil {
		return fmt.Errorf("read assembly: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("read assembly: %s: %w", path, err)
	}
	return nil
}
