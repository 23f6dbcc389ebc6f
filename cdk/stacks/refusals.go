package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// addRefusals adds the bus on which the authorizer publishes the tokens that it
// rejects, and the function that writes them to the audit trail.
//
// An event is delivered in two steps, each with retries: EventBridge invokes Lambda, for
// up to a day, and Lambda invokes the function, three times in three minutes. Events
// that either cannot deliver go unchanged to one dead-letter queue.
func (a *API) addRefusals(props Props, data Data) {
	const undeliveredDays, attempts, hours, queuedHours = 14, 2, 24, 6
	bus := awsevents.NewEventBus(a.Stack, jsii.String("RefusedTokens"), &awsevents.EventBusProps{
		Description: jsii.String("Rejected tokens: source insighthub.authorizer, detail-type refusals"),
	})
	a.Authorizer.AddEnvironment(jsii.String("EVENT_BUS"), bus.EventBusName(), nil)
	a.Authorizer.Allow([]string{"events:PutEvents"}, bus.EventBusArn())

	a.Undelivered = awssqs.NewQueue(a.Stack, jsii.String("UndeliveredRefusals"), &awssqs.QueueProps{
		Encryption:      awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:      jsii.Bool(true),
		RetentionPeriod: awscdk.Duration_Days(jsii.Number(undeliveredDays)),
		RemovalPolicy:   constructs.RemovalPolicy(props.Stage.Removal),
	})
	a.Refusals = data.newFunction(a.Stack, props, function{
		ID: "Refusals", Name: "refusals",
		Description: "Writes rejected tokens to the audit trail",
		Size:        props.Stage.API.Refusals,
		DeadLetters: a.Undelivered,
	})
	awsevents.NewRule(a.Stack, jsii.String("RefusedTokensRule"), &awsevents.RuleProps{
		Description: jsii.String("Rejected tokens are written to the audit trail"),
		EventBus:    bus,
		EventPattern: &awsevents.EventPattern{
			Source:     jsii.Strings("insighthub.authorizer"),
			DetailType: jsii.Strings("refusals"),
		},
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(a.Refusals.Function, &awseventstargets.LambdaFunctionProps{
			DeadLetterQueue: a.Undelivered,
			RetryAttempts:   jsii.Number(185), // EventBridge's maximum
			MaxEventAge:     awscdk.Duration_Hours(jsii.Number(hours)),
		})},
	})
	a.Refusals.ConfigureAsyncInvoke(&awslambda.EventInvokeConfigOptions{
		RetryAttempts: jsii.Number(attempts), MaxEventAge: awscdk.Duration_Hours(jsii.Number(queuedHours)),
	})
}

// watchRefusals adds alarms of rejected tokens that do not reach the audit trail.
func (a *API) watchRefusals(alarms constructs.Alarms, stage config.Stage) {
	alarms.AddFunction("Refusals", a.Refusals, stage.API.Refusals)
	alarms.AddDeadLetters("RefusalsUndelivered", a.Undelivered,
		"Rejected tokens are missing in the audit trail: their events are in the dead-letter queue UndeliveredRefusals.",
		"See docs/AUDIT.md, which says how to send them again.")
}
