package stacks

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// function describes a function of a stack. Its construct has ID; its code is
// functions/<Name>.
type function struct {
	ID, Name    string
	Description string
	Size        config.Function
	Environment map[string]*string
	// DeadLetters is nil for a function that is invoked synchronously.
	DeadLetters awssqs.IQueue
}

// newFunction adds a function outside the VPC.
func newFunction(stack awscdk.Stack, props Props, f function) constructs.GoFunction {
	return addFunction(stack, props, f, nil)
}

// newFunction adds a function that uses the database: it runs in the database's
// network, finds the address, name and password of its role in DATABASE_SECRET_ARN, and
// opens as many connections as DATABASE_CONNECTIONS says. It can read that secret and no
// other role's.
func (d Data) newFunction(stack awscdk.Stack, props Props, f function) constructs.GoFunction {
	f.Environment = maps.Clone(f.Environment)
	if f.Environment == nil {
		f.Environment = map[string]*string{}
	}
	secret, ok := d.roleSecrets[f.Name]
	if !ok {
		panic(fmt.Sprintf("function %s has no database role: add it to databaseFunctions", f.Name))
	}
	f.Environment["DATABASE_SECRET_ARN"] = secret.SecretArn()
	f.Environment["DATABASE_CONNECTIONS"] = number(f.Size.Connections)
	added := addFunction(stack, props, f, d.DatabaseNetwork)
	secret.GrantRead(added.Role, nil)
	return added
}

func addFunction(stack awscdk.Stack, props Props, f function, network *constructs.Network) constructs.GoFunction {
	return constructs.NewGoFunction(stack, f.ID, &constructs.GoFunctionProps{
		Name: f.Name, Description: f.Description, Stage: props.Stage, Size: f.Size, Dir: props.Functions,
		Environment: f.Environment, Network: network, DeadLetters: f.DeadLetters,
	})
}

// with returns the environment with one more variable.
func with(environment map[string]*string, name string, value *string) map[string]*string {
	environment = maps.Clone(environment)
	environment[name] = value
	return environment
}

// number converts n to the value of an environment variable.
func number(n int) *string { return jsii.String(strconv.Itoa(n)) }

// seconds converts d to the value of an environment variable in seconds.
func seconds(d time.Duration) *string { return number(int(d.Seconds())) }
