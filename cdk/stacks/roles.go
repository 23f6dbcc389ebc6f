package stacks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// databaseFunctions are the functions that log in to the database, each with a role of its
// own. lib/timescale/grants.go says what each may do; migrate demands a secret of each.
func databaseFunctions() []string {
	return []string{"access", "api", "bridge", "detect", "refusals", "rollup", "store"}
}

// addRoleSecrets adds the secret of each role: its name and a password. Migrate creates the
// role, and adds the database's address and certificates to the secret.
func (d *Data) addRoleSecrets(stage config.Stage) {
	d.roleSecrets = make(map[string]awssecretsmanager.ISecret)
	for _, function := range databaseFunctions() {
		// The stage is a part of the name: stages may share a server.
		username := fmt.Sprintf("insighthub_%s_%s", stage.Name, function)
		id := jsii.String("DatabaseRole" + title(function))
		d.roleSecrets[function] = awssecretsmanager.NewSecret(d.Stack, id, &awssecretsmanager.SecretProps{
			Description: jsii.String("Database role of the function " + function),
			GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
				SecretStringTemplate: jsii.String(fmt.Sprintf(`{"username":%q}`, username)),
				GenerateStringKey:    jsii.String("password"),
				PasswordLength:       jsii.Number(40),
				ExcludePunctuation:   jsii.Bool(true),
			},
			RemovalPolicy: constructs.RemovalPolicy(stage.Removal),
		})
	}
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// addMigrate adds the function that applies the migrations, as the owner of the tables, and
// creates the roles.
func (d *Data) addMigrate(props Props) {
	stage := props.Stage
	environment := map[string]*string{
		"ADMIN_SECRET_ARN": d.AdminSecret.SecretArn(), "DATABASE_SECRET_ARN": d.DatabaseSecret.SecretArn(),
	}
	for _, function := range databaseFunctions() {
		environment["ROLE_"+strings.ToUpper(function)+"_SECRET_ARN"] = d.roleSecrets[function].SecretArn()
	}
	limits := make(map[string]int)
	for function, n := range stage.DatabaseConnections() {
		if slices.Contains(databaseFunctions(), function) && n > 0 { // migrate is the owner
			limits[function] = n
		}
	}
	text, err := json.Marshal(limits)
	if err != nil {
		panic(err)
	}
	environment["ROLE_CONNECTIONS"] = jsii.String(string(text))
	d.Migrate = addFunction(d.Stack, props, function{
		ID: "Migrate", Name: "migrate",
		// A part of the hash in the logical id of the function's version: do not edit.
		Description: "Brings the database's schema to this version",
		Size:        stage.Migrate,
		Environment: environment,
	}, d.DatabaseNetwork)
	d.AdminSecret.GrantRead(d.Migrate.Role, nil)
	d.DatabaseSecret.GrantRead(d.Migrate.Role, nil)
	for _, function := range databaseFunctions() {
		d.Migrate.Allow([]string{"secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"}, d.roleSecrets[function].SecretArn())
	}
}

// keepExport keeps the export that the deployed stacks of the release before still import:
// CloudFormation does not remove an export in use, and this stack is updated before them.
func (d *Data) keepExport(stage config.Stage) {
	if stage.Database.Kind == config.OwnInstance {
		d.Stack.ExportValue(d.DatabaseSecret.SecretArn(), &awscdk.ExportValueOptions{})
	}
}
