package grafana_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// decode reads a YAML file into a type that names all that may be in it.
func decode(t *testing.T, file string, into any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(read(t, file)))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// compose is the part of the Compose specification that the file uses.
type compose struct {
	Name     string
	Services map[string]struct {
		Image       string
		Ports       []string
		ExtraHosts  []string `yaml:"extra_hosts"`
		Environment map[string]string
		Volumes     []string
		ReadOnly    bool `yaml:"read_only"`
		Tmpfs       []string
		SecurityOpt []string `yaml:"security_opt"`
		CapDrop     []string `yaml:"cap_drop"`
	}
}

// datasources and providers are Grafana's provisioning files.
type datasources struct {
	APIVersion  int `yaml:"apiVersion"`
	Datasources []struct {
		Name, UID, Type, Access, URL string
		IsDefault                    bool           `yaml:"isDefault"`
		Editable                     bool           `yaml:"editable"`
		JSONData                     map[string]any `yaml:"jsonData"`
	}
}

type providers struct {
	APIVersion int `yaml:"apiVersion"`
	Providers  []struct {
		Name, Type            string
		AllowUIUpdates        bool `yaml:"allowUiUpdates"`
		DisableDeletion       bool `yaml:"disableDeletion"`
		UpdateIntervalSeconds int  `yaml:"updateIntervalSeconds"`
		Options               struct {
			Path                      string
			FoldersFromFilesStructure bool `yaml:"foldersFromFilesStructure"`
		}
	}
}

// mounts returns the paths in this directory by the paths in the container.
func mounts(t *testing.T, volumes []string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, volume := range volumes {
		parts := strings.Split(volume, ":")
		if len(parts) != 3 || parts[2] != "ro" {
			t.Fatalf("volume %s: want here:there:ro", volume)
		}
		if _, err := os.Stat(parts[0]); err != nil {
			t.Errorf("volume %s: %v", volume, err)
		}
		out[parts[1]] = parts[0]
	}
	return out
}

// variable matches an environment variable, with or without a default.
var variable = regexp.MustCompile(`\$\{(\w+)(?::-[^}]*)?\}`)

// TestCompose checks what can be wrong unnoticed, without Docker and Grafana: a mount of a
// missing file, a path that is not mounted, an image without a fixed version.
func TestCompose(t *testing.T) {
	var file compose
	decode(t, "compose.yaml", &file)
	service, ok := file.Services["grafana"]
	if !ok || len(file.Services) != 1 {
		t.Fatalf("services %v, want grafana alone", file.Services)
	}
	if !regexp.MustCompile(`^grafana/grafana:\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?$`).MatchString(service.Image) {
		t.Errorf("image %s: want a whole version", service.Image)
	}
	for _, port := range service.Ports {
		if !strings.HasPrefix(port, "127.0.0.1:") {
			t.Errorf("port %s is open to the network", port)
		}
	}
	mounted := mounts(t, service.Volumes)

	var boards providers
	decode(t, "provisioning/dashboards.yaml", &boards)
	if len(boards.Providers) != 1 || boards.APIVersion != 1 ||
		!boards.Providers[0].Options.FoldersFromFilesStructure || boards.Providers[0].Type != "file" {
		t.Fatalf("got providers %+v, want one of files with folders", boards)
	}
	if here := mounted[boards.Providers[0].Options.Path]; filepath.Clean(here) != "dashboards" {
		t.Errorf("the provider's %s is %q here, want dashboards", boards.Providers[0].Options.Path, here)
	}
	// Grafana reads provisioning files from these directories only.
	for _, kind := range []string{"datasources", "dashboards"} {
		found := false
		for there, here := range mounted {
			found = found || filepath.Clean(here) == "provisioning/"+kind+".yaml" && path.Dir(there) == "/etc/grafana/provisioning/"+kind
		}
		if !found {
			t.Errorf("provisioning/%s.yaml is not mounted where Grafana looks", kind)
		}
	}
	home := service.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	found := false
	for there, here := range mounted {
		if below, ok := strings.CutPrefix(home, there+"/"); ok {
			_, err := os.Stat(filepath.Join(here, below))
			found = found || err == nil
		}
	}
	if !found {
		t.Errorf("the home dashboard %s is not mounted", home)
	}
}

func TestDatasource(t *testing.T) {
	var file compose
	decode(t, "compose.yaml", &file)
	environment := file.Services["grafana"].Environment

	var sources datasources
	decode(t, "provisioning/datasources.yaml", &sources)
	if len(sources.Datasources) != 1 || sources.APIVersion != 1 {
		t.Fatalf("%+v", sources)
	}
	source := sources.Datasources[0]
	if source.Type != "prometheus" || source.UID == "" || !source.IsDefault || source.Editable || source.JSONData["timeInterval"] != "5s" {
		t.Errorf("%+v", source)
	}
	for _, m := range variable.FindAllStringSubmatch(source.URL, -1) {
		value, ok := environment[m[1]]
		if !ok {
			t.Errorf("the data source's URL has the variable %s, which the container does not define", m[1])
		}
		_, fallback, _ := strings.Cut(strings.Trim(value, "${}"), ":-")
		u, err := url.Parse(fallback)
		if err != nil {
			t.Fatalf("default of %s: %v", m[1], err)
		}
		resolves := func(host string) bool { return strings.HasPrefix(host, u.Hostname()+":") }
		if u.Port() != "9090" || !slices.ContainsFunc(file.Services["grafana"].ExtraHosts, resolves) {
			t.Errorf("default of %s is %q, want the stack's Prometheus by one of the container's extra hosts", m[1], fallback)
		}
	}

	// Every query uses the data source of the variable, or this one by its uid.
	for _, path := range files(t, "dashboards/*/*.json") {
		var board any
		if err := json.Unmarshal([]byte(read(t, path)), &board); err != nil {
			t.Fatal(err)
		}
		refs, variables := 0, 0
		walk(board, func(object map[string]any) {
			if object["type"] == "datasource" && object["name"] == "datasource" {
				variables++
				if object["query"] != source.Type {
					t.Errorf("%s: the variable chooses among data sources of type %v", path, object["query"])
				}
			}
			ref, ok := object["datasource"].(map[string]any)
			if !ok || ref["type"] == "grafana" || ref["type"] == "datasource" { // Grafana's own
				return
			}
			refs++
			if ref["type"] != source.Type || ref["uid"] != "${datasource}" && ref["uid"] != source.UID {
				t.Errorf("%s: a query to %v", path, ref)
			}
		})
		if refs == 0 || variables != 1 {
			t.Errorf("%s: %d queries, %d variables for the data source", path, refs, variables)
		}
	}
}

// walk calls f for each object of a JSON value.
func walk(value any, f func(map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		f(v)
		for _, member := range v {
			walk(member, f)
		}
	case []any:
		for _, member := range v {
			walk(member, f)
		}
	}
}
