package stacks

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// watch adds the alarms of the live path.
func (s Signaling) watch(alarms constructs.Alarms, stage config.Stage) {
	s.watchValkey(alarms, stage.Live.Valkey)
	if s.Service != nil {
		s.watchService(alarms, stage.Live.Signaling)
	}
	if s.Turn != nil {
		s.watchTurn(alarms)
	}
}

func (s Signaling) watchService(alarms constructs.Alarms, settings config.Signaling) {
	front := func(name, statistic string) awscloudwatch.IMetric {
		return constructs.Metric("AWS/ApplicationELB", name, statistic, map[string]*string{"LoadBalancer": s.front.LoadBalancerFullName()})
	}
	alarms.Add("SignalingDown", constructs.Watch{
		Metric: constructs.Metric("AWS/ApplicationELB", "HealthyHostCount", "Minimum", map[string]*string{
			"LoadBalancer": s.front.LoadBalancerFullName(), "TargetGroup": s.frontTarget.TargetGroupFullName(),
		}),
		Description: "No task of the signaling service was ready for 3 minutes. Running peer connections go on; no new ones begin.",
		Do:          "Its log and the events of the service in ECS name the cause; a deployment that fails rolls back by itself.",
		Below:       1, Minutes: 3, Silence: true,
	})
	alarms.Add("SignalingErrors", constructs.Watch{
		Metric:      front("HTTPCode_ELB_5XX_Count", "Sum"),
		Description: "The load balancer of the signaling service responded with errors in each of 3 minutes.",
		Do:          "Look at the tasks' health and memory.",
		Minutes:     3,
	})
	const bothSides = 2
	alarms.Add("SignalingConnections", constructs.Watch{
		Metric: front("ActiveConnectionCount", "Sum"),
		Description: fmt.Sprintf("All %d tasks of the signaling service have more than the %d connections that scaling aims at.",
			settings.MaxTasks, settings.Connections),
		Do:    "Raise MaxTasks; if the connections are not of people and gateways, look at their addresses in the log.",
		Above: bothSides * float64(settings.MaxTasks*settings.Connections), Minutes: 5,
	})
	s.watchTask(alarms, "Signaling", s.Service, "Larger tasks, or fewer connections for each.")
}

func (s Signaling) watchTurn(alarms constructs.Alarms) {
	alarms.Add("TurnDown", constructs.Watch{
		Metric: constructs.Metric("AWS/NetworkELB", "HealthyHostCount", "Minimum", map[string]*string{
			"LoadBalancer": s.turnFront.LoadBalancerFullName(), "TargetGroup": s.turnTarget.TargetGroupFullName(),
		}),
		Description: "No TURN server was ready for 3 minutes: peers behind strict firewalls cannot connect.",
		Do:          "Its log and the events of the service in ECS name the cause, such as a task without a public address.",
		Below:       1, Minutes: 3, Silence: true,
	})
	s.watchTask(alarms, "Turn", s.Turn, "The log has who relays how much; add tasks if it is real, lower the quotas if not.")
}

// watchTask adds alarms of a service's processor and memory.
func (s Signaling) watchTask(alarms constructs.Alarms, name string, service awsecs.FargateService, do string) {
	alarms.Add(name+"Processor", constructs.Watch{
		Metric:      service.MetricCpuUtilization(constructs.EveryMinute("Average")),
		Description: "The tasks of the service " + name + " used more than 80 % of their processors for 10 minutes.",
		Do:          do,
		Above:       80, Minutes: 10,
	})
	alarms.Add(name+"Memory", constructs.Watch{
		Metric:      service.MetricMemoryUtilization(constructs.EveryMinute("Maximum")),
		Description: "A task of the service " + name + " used more than 85 % of its memory for 5 minutes; at 100 % it is killed.",
		Do:          do,
		Above:       85, Minutes: 5,
	})
}

func (s Signaling) watchValkey(alarms constructs.Alarms, settings config.Valkey) {
	if s.valkey.group == nil {
		return
	}
	for node := 1; node <= settings.Nodes; node++ {
		id := fmt.Sprintf("%s-%03d", *s.valkey.group.Ref(), node)
		metric := func(name, statistic string) awscloudwatch.IMetric {
			return constructs.Metric("AWS/ElastiCache", name, statistic, map[string]*string{"CacheClusterId": jsii.String(id)})
		}
		alarms.Add(fmt.Sprintf("ValkeyProcessor%d", node), constructs.Watch{
			Metric:      metric("EngineCPUUtilization", "Average"),
			Description: fmt.Sprintf("Node %d of Valkey used more than 80 %% of its processor for 5 minutes.", node),
			Do:          "A larger node type; peers of different tasks wait for each other until then.",
			Above:       80, Minutes: 5,
		})
		alarms.Add(fmt.Sprintf("ValkeyMemory%d", node), constructs.Watch{
			Metric:      metric("DatabaseMemoryUsagePercentage", "Maximum"),
			Description: fmt.Sprintf("Node %d of Valkey used more than 80 %% of its memory for 5 minutes.", node),
			Do:          "Members and messages expire by themselves: look for what else writes to it; a larger node type otherwise.",
			Above:       80, Minutes: 5,
		})
	}
}
