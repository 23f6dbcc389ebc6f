package stacks

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
)

// Assembly is the input of a synthesis and its output directory.
type Assembly struct {
	// Stage is the name of one stage. When empty it is the stage of the CDK context, or
	// every stage.
	Stage string
	// Out is the output directory. When empty it is CDK_OUTDIR, or cdk.out.
	Out string
	// Functions is a directory that contains one for each function, with its bootstrap.
	Functions string
	// Rules is the directory of the Prometheus rule files.
	Rules string
	// Settings is the file with the feature flags. It is read only when the CDK CLI has
	// not passed them in CDK_CONTEXT_JSON.
	Settings string
	// AccountConcurrency replaces that of the stages. When empty it is the account-concurrency
	// of the CDK context, or the stages' own.
	AccountConcurrency string

	// Getenv reads the environment.
	Getenv func(string) string
}

// Synthesise writes the cloud assembly.
func (a Assembly) Synthesise() error {
	if err := checkFunctions(a.Functions); err != nil {
		return err
	}
	props, err := a.appProps()
	if err != nil {
		return err
	}
	app := awscdk.NewApp(props)
	name := a.Stage
	if name == "" {
		name, _ = app.Node().TryGetContext(jsii.String("stage")).(string)
	}
	stages, err := config.Select(name)
	if err != nil {
		return err
	}
	concurrency := a.AccountConcurrency
	if concurrency == "" {
		concurrency, _ = app.Node().TryGetContext(jsii.String("account-concurrency")).(string)
	}
	for _, stage := range stages {
		a.addAlarmTarget(app, &stage)
		a.addDomain(app, &stage)
		if concurrency != "" {
			if stage.AccountConcurrency, err = strconv.Atoi(concurrency); err != nil {
				return fmt.Errorf("account-concurrency %q: want a number", concurrency)
			}
		}
		if _, err := NewPlatform(app, Props{Stage: stage, Functions: a.Functions, Rules: os.DirFS(a.Rules)}); err != nil {
			return err
		}
	}
	app.Synth(nil)
	return nil
}

// addAlarmTarget adds whom alarms notify to a stage. It is not part of the repository: it is
// a person's address, or depends on the account.
func (a Assembly) addAlarmTarget(app awscdk.App, stage *config.Stage) {
	stage.AlarmEmail = cmp.Or(stage.AlarmEmail, contextValue(app, "alarmEmail"), a.Getenv("INSIGHTHUB_ALARM_EMAIL"))
	stage.AlarmTopicARN = cmp.Or(stage.AlarmTopicARN, contextValue(app, "alarmTopic"), a.Getenv("INSIGHTHUB_ALARM_TOPIC"))
	if stage.AlarmEmail == "" && stage.AlarmTopicARN == "" && stage.Name == config.Dev {
		awscdk.Annotations_Of(app).AddInfo(jsii.String("stage dev: alarms notify nobody; set INSIGHTHUB_ALARM_EMAIL (docs/DEPLOYMENT.md)"))
	}
}

// addDomain adds the names of the live path to a stage. Of several stages each has its own
// below the given one, such as staging.live.example.com.
func (a Assembly) addDomain(app awscdk.App, stage *config.Stage) {
	domain := cmp.Or(contextValue(app, "domain"), a.Getenv("INSIGHTHUB_DOMAIN"))
	zone := cmp.Or(contextValue(app, "hostedZone"), a.Getenv("INSIGHTHUB_HOSTED_ZONE"))
	if stage.Live.Domain != "" || domain == "" && zone == "" {
		return
	}
	stage.Live.Domain, stage.Live.HostedZoneID = domain, zone
	if domain != "" && stage.Name != config.Prod {
		stage.Live.Domain = string(stage.Name) + "." + domain
	}
}

// contextValue returns a value of the CDK's context, or "".
func contextValue(app awscdk.App, name string) string {
	value, _ := app.Node().TryGetContext(jsii.String(name)).(string)
	return value
}

func (a Assembly) appProps() (*awscdk.AppProps, error) {
	props := &awscdk.AppProps{AnalyticsReporting: jsii.Bool(false)}
	switch {
	case a.Out != "":
		props.Outdir = jsii.String(a.Out)
	case a.Getenv("CDK_OUTDIR") == "":
		props.Outdir = jsii.String("cdk.out")
	}
	if a.Getenv("CDK_CONTEXT_JSON") != "" {
		return props, nil
	}
	context, err := Context(a.Settings)
	if err != nil {
		return nil, err
	}
	props.Context = &context
	return props, nil
}

// Context reads the feature flags of a cdk.json and adds those that the CDK CLI adds,
// so that the templates are the same without it.
func Context(path string) (map[string]any, error) {
	raw, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("feature flags: %w", err)
	}
	var settings struct {
		Context map[string]any `json:"context"`
	}
	if err := json.Unmarshal(raw, &settings); err != nil {
		return nil, fmt.Errorf("feature flags: %s: %w", path, err)
	}
	context := settings.Context
	if context == nil {
		return nil, fmt.Errorf("feature flags: %s has no member context", path)
	}
	context["aws:cdk:enable-path-metadata"] = true
	context["aws:cdk:enable-asset-metadata"] = true
	return context, nil
}

// Functions returns the names of the functions that the stacks deploy.
func Functions() []string {
	return []string{"access", "api", "audit", "authorizer", "bridge", "clock", "detect", "ingest", "migrate", "refusals", "rollup", "store"}
}

// signalingProgram is the folder of the service's program.
const signalingProgram = "signaling"

// Services returns the names of the programs that run as services.
func Services() []string { return []string{signalingProgram} }

// checkFunctions returns an error with the names of all functions that are not built;
// the CDK would report only the first.
func checkFunctions(dir string) error {
	var missing []string
	for _, name := range slices.Concat(Functions(), Services()) {
		if _, err := os.Stat(filepath.Join(dir, name, "bootstrap")); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("functions not built under %s: %s", dir, strings.Join(missing, ", "))
	}
	return nil
}
