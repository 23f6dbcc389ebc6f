package stacks_test

import (
	"regexp"
	"strings"
	"testing"
)

// busOf returns the logical id of a stack's bus.
func busOf(t *testing.T, a assembly, part string) string {
	t.Helper()
	found := ""
	for _, bus := range a.ofType("AWS::Events::EventBus") {
		if of, id, _ := strings.Cut(bus.ID, "/"); of == part {
			found += id
		}
	}
	if found == "" {
		t.Fatalf("no bus in %s", part)
	}
	return found
}

// checkRefusals checks that the events of the authorizer, and no others, reach the
// function, and that undeliverable ones reach a queue with an alarm.
func checkRefusals(t *testing.T, a assembly) {
	t.Helper()
	bus := busOf(t, a, "Api")
	if got := text(environment(a.functions()["authorizer"])["EVENT_BUS"]); got != `{"Ref":"`+bus+`"}` {
		t.Errorf("EVENT_BUS of the authorizer is %s, want %s", got, bus)
	}
	_, queue, _ := strings.Cut(a.one(t, "AWS::SQS::Queue").ID, "/")
	_, function, _ := strings.Cut(a.functions()["refusals"].ID, "/")
	var rule resource
	for _, r := range a.ofType("AWS::Events::Rule") {
		if text(r.Properties["EventBusName"]) == `{"Ref":"`+bus+`"}` {
			rule = r
		}
	}
	if got, want := text(rule.Properties["EventPattern"]), `{"detail-type":["refusals"],"source":["insighthub.authorizer"]}`; got != want {
		t.Errorf("pattern %s, want %s", got, want)
	}
	arn := func(id string) string { return `{"Fn::GetAtt":["` + id + `","Arn"]}` }
	wantTarget := `[{"Arn":` + arn(function) + `,"DeadLetterConfig":{"Arn":` + arn(queue) + `},"Id":"Target0",` +
		`"RetryPolicy":{"MaximumEventAgeInSeconds":86400,"MaximumRetryAttempts":185}}]`
	if got := text(rule.Properties["Targets"]); got != wantTarget {
		t.Errorf("targets %s, want %s", got, wantTarget)
	}
	if got := text(a.functions()["refusals"].Properties["DeadLetterConfig"]); got != `{"TargetArn":`+arn(queue)+`}` {
		t.Errorf("dead-letter queue of the function is %s, want %s", got, arn(queue))
	}
	config := a.one(t, "AWS::Lambda::EventInvokeConfig").Properties
	if config["MaximumRetryAttempts"] != 2.0 || config["MaximumEventAgeInSeconds"] != 21600.0 {
		t.Errorf("retries of asynchronous invocations are %s, want 2 within 21600 s", text(config))
	}
	has := false
	for _, policy := range a.ofType("AWS::IAM::Policy") {
		document := text(policy.Properties["PolicyDocument"])
		mayPut := strings.Contains(document, `"Action":"events:PutEvents","Effect":"Allow","Resource":`+arn(bus))
		if mayPut != strings.HasPrefix(policy.ID, "Api/Authorizer") {
			t.Errorf("%s: may publish on the bus: %v, want %v", policy.ID, mayPut, !mayPut)
		}
		if sends := regexp.MustCompile(`sqs:\w+`).FindAllString(document, -1); len(sends) > 0 {
			has = has || strings.HasPrefix(policy.ID, "Api/Refusals")
			if !strings.HasPrefix(policy.ID, "Api/Refusals") || strings.Join(sends, "") != "sqs:SendMessage" {
				t.Errorf("%s may %v", policy.ID, sends)
			}
		}
	}
	if !has {
		t.Error("no policy allows the function to send dead letters")
	}
	for _, alarm := range a.ofType("AWS::CloudWatch::Alarm") {
		if strings.Contains(text(alarm.Properties["Dimensions"]), `"`+queue+`"`) && alarm.Properties["Threshold"] == 0.0 {
			return
		}
	}
	t.Error("no alarm watches the queue")
}
