package constructs

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
)

// machineNamespace is the namespace of the metrics that the database's machine publishes
// every minute (timescale.sh): AWS has none of a machine's memory, its volumes' fill and its
// processes.
const machineNamespace = "InsightHub"

// allowMetrics lets the machine publish its metrics.
func allowMetrics(role awsiam.IRole) {
	role.AddToPrincipalPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:    jsii.Strings("cloudwatch:PutMetricData"), // supports no resource
		Resources:  jsii.Strings("*"),
		Conditions: &map[string]any{"StringEquals": map[string]any{"cloudwatch:namespace": machineNamespace}},
	}))
}

// AllowKey lets the machine use the key of the secret, and of the volume if that is
// encrypted with it.
func (t TimescaleInstance) AllowKey(key *string, volume bool) {
	t.group.Role().AddToPrincipalPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions: jsii.Strings("kms:Decrypt"), Resources: &[]*string{key},
	}))
	if !volume {
		return
	}
	// EC2 asks in the machine's name when it attaches the volume.
	t.group.Role().AddToPrincipalPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions: jsii.Strings("kms:CreateGrant"), Resources: &[]*string{key},
		Conditions: &map[string]any{"Bool": map[string]any{"kms:GrantIsForAWSResource": "true"}},
	}))
	t.group.Role().AddToPrincipalPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:   jsii.Strings("kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"),
		Resources: &[]*string{key},
	}))
}

// Watch adds the alarms of the database's machine.
func (t TimescaleInstance) Watch(alarms Alarms, settings config.Database) {
	group := map[string]*string{"AutoScalingGroupName": t.group.AutoScalingGroupName()}
	stage := map[string]*string{"Stage": jsii.String(string(t.stage))}
	alarms.Add("DatabaseStatus", Watch{
		Metric:      Metric("AWS/EC2", "StatusCheckFailed", "Maximum", group),
		Description: "The database's machine failed its status check for 3 minutes.",
		Do:          "Its group replaces it; the new machine takes over the volume and the name. If it does not, read its console log.",
		Minutes:     3,
	})
	alarms.Add("DatabaseProcessor", Watch{
		Metric:      Metric("AWS/EC2", "CPUUtilization", "Average", group),
		Description: "The database's processors were busy for more than 90 % in each of 15 minutes.",
		Do:          "pg_stat_activity shows which statements; else a larger instance type.",
		Above:       90, Minutes: 15,
	})
	if burstable(settings.InstanceType) {
		alarms.Add("DatabaseCredits", Watch{
			Metric:      Metric("AWS/EC2", "CPUCreditBalance", "Minimum", group),
			Description: "The database's machine has few processor credits left; without any it is slow, or costs extra.",
			Do:          "Take an instance type that is not burstable.",
			Below:       30, Minutes: 5,
		})
	}
	alarms.Add("DatabaseDown", Watch{
		Metric:      Metric(machineNamespace, "Connections", "Maximum", stage),
		Description: "The database's machine, or PostgreSQL on it, reported nothing for 5 minutes.",
		Do:          "Read the log of insighthub-database on the machine (Session Manager or the serial console).",
		Above:       85, Minutes: 5, Silence: true,
	})
	for _, m := range []struct {
		id, metric, description, do string
		above                       float64
	}{
		{
			"DatabaseVolumeFull", "VolumeUsedPercent", "The database's volume is more than 80 % full.",
			"Raise VolumeGiB and deploy, then resize2fs on the machine; or shorten the retention.", 80,
		},
		{
			"DatabaseRootFull", "RootUsedPercent", "The root volume of the database's machine is more than 85 % full.",
			"Look below /var/log; a new machine starts with an empty one.", 85,
		},
		{
			"DatabaseMemory", "MemoryUsedPercent", "The database's machine used more than 90 % of its memory for 5 minutes.",
			"A larger instance type; more than the page cache is needed when this rises with the connections.", 90,
		},
		{
			"DatabaseConnections", "Connections", "More than 80 % of the database's connections were used for 5 minutes.",
			"pg_stat_activity shows whose: each function has its own role.", 80,
		},
	} {
		alarms.Add(m.id, Watch{
			Metric:      Metric(machineNamespace, m.metric, "Maximum", stage),
			Description: m.description, Do: m.do, Above: m.above, Minutes: 5,
		})
	}
	alarms.Add("DatabaseCertificate", Watch{
		Metric:      Metric(machineNamespace, "CertificateDays", "Minimum", stage),
		Description: "The certificate of the database's server expires in less than 30 days; functions then reject it.",
		Do:          "Replace the machine, which renews it: docs/DEPLOYMENT.md.",
		Below:       30, Minutes: 5,
	})
}

// burstable says whether an instance type has processor credits.
func burstable(instanceType string) bool { return len(instanceType) > 0 && instanceType[0] == 't' }
