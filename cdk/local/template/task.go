package template

import (
	"fmt"
	"path/filepath"
	"regexp"
)

const (
	taskType   = "AWS::ECS::TaskDefinition"
	valkeyType = "AWS::ElastiCache::ReplicationGroup"
)

// Task is an AWS::ECS::TaskDefinition with one container, whose program is in this module or
// is coturn. A task runs whether or not the template has a service for it.
type Task struct {
	ID
	// Program is the folder of the program, such as "signaling".
	Program string
	// Options are the arguments of the image's entry point.
	Options []string
	Env     map[string]string
	// Secrets are variables whose values are secrets, by their ARNs.
	Secrets map[string]string
	// Image is the folder of the assembly from which the image is built.
	Image string
}

// Cache is an AWS::ElastiCache::ReplicationGroup.
type Cache struct{ ID }

// imageHash matches the tag of an image that is built from a folder of the assembly.
func imageHash() *regexp.Regexp { return regexp.MustCompile(`:([0-9a-f]{64})$`) }

func (p *Plan) addTask(f *fields, res resource) {
	program, _ := res.Metadata["insighthub:package"].(string)
	containers, _ := f.get("ContainerDefinitions").([]any)
	if program == "" || len(containers) != 1 {
		p.Skipped = append(p.Skipped, Skipped{f.id, taskType, NotEmulated, "its metadata names no program, or it has several containers"})
		return
	}
	container, _ := containers[0].(map[string]any)
	t := Task{ID: f.id, Program: program, Env: make(map[string]string), Secrets: make(map[string]string)}
	pairs := func(member, value string, into map[string]string) {
		entries, _ := container[member].([]any)
		for _, entry := range entries {
			object, _ := entry.(map[string]any)
			name, err := asText(object["Name"])
			if err == nil {
				into[name], err = asText(object[value])
			}
			if err != nil {
				f.fail("ContainerDefinitions."+member, err)
			}
		}
	}
	pairs("Environment", "Value", t.Env)
	pairs("Secrets", "ValueFrom", t.Secrets)
	options, _ := container["Command"].([]any)
	for _, option := range options {
		s, err := asText(option)
		if err != nil {
			f.fail("ContainerDefinitions.Command", err)
		}
		t.Options = append(t.Options, s)
	}
	image, err := asText(container["Image"])
	if hash := imageHash().FindStringSubmatch(image); err == nil && hash != nil {
		t.Image = filepath.Join(f.r.all.dir, "asset."+hash[1])
	} else {
		f.fail("ContainerDefinitions.Image", fmt.Errorf("%q is not built from a folder of the assembly", image))
	}
	p.Tasks = append(p.Tasks, t)
}

// Task returns the task of a program.
func (p *Plan) Task(program string) (Task, bool) {
	for _, t := range p.Tasks {
		if t.Program == program {
			return t, true
		}
	}
	return Task{}, false
}
