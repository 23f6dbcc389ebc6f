package stacks

import (
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsapplicationautoscaling"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
)

// scale keeps the number of connections of a task near the configured one. The load balancer
// counts a connection on each of its sides, hence two for each WebSocket.
func (s *Signaling) scale(settings config.Signaling) {
	if settings.MaxTasks == settings.MinTasks {
		return
	}
	const bothSides = 2
	target := s.Service.AutoScaleTaskCount(&awsapplicationautoscaling.EnableScalingProps{
		MinCapacity: jsii.Number(settings.MinTasks), MaxCapacity: jsii.Number(settings.MaxTasks),
	})
	type (
		query     = awsapplicationautoscaling.CfnScalingPolicy_TargetTrackingMetricDataQueryProperty
		stat      = awsapplicationautoscaling.CfnScalingPolicy_TargetTrackingMetricStatProperty
		metric    = awsapplicationautoscaling.CfnScalingPolicy_TargetTrackingMetricProperty
		tracking  = awsapplicationautoscaling.CfnScalingPolicy_TargetTrackingScalingPolicyConfigurationProperty
		dimension = awsapplicationautoscaling.CfnScalingPolicy_TargetTrackingMetricDimensionProperty
	)
	front := &dimension{Name: jsii.String("LoadBalancer"), Value: s.front.LoadBalancerFullName()}
	awsapplicationautoscaling.NewCfnScalingPolicy(s.Stack, jsii.String("Connections"), &awsapplicationautoscaling.CfnScalingPolicyProps{
		PolicyName: jsii.String("connections"), PolicyType: jsii.String("TargetTrackingScaling"),
		ResourceId: s.scalable(), ScalableDimension: jsii.String("ecs:service:DesiredCount"), ServiceNamespace: jsii.String("ecs"),
		TargetTrackingScalingPolicyConfiguration: &tracking{
			TargetValue: jsii.Number(bothSides * settings.Connections),
			// A task that ends moves its peers: rarely, and one after another.
			ScaleInCooldown: jsii.Number((10 * time.Minute).Seconds()), ScaleOutCooldown: jsii.Number(time.Minute.Seconds()),
			CustomizedMetricSpecification: &awsapplicationautoscaling.CfnScalingPolicy_CustomizedMetricSpecificationProperty{
				Metrics: []any{
					&query{Id: jsii.String("connections"), ReturnData: jsii.Bool(false), MetricStat: &stat{
						Metric: &metric{
							Namespace: jsii.String("AWS/ApplicationELB"), MetricName: jsii.String("ActiveConnectionCount"),
							Dimensions: []any{front},
						},
						Stat: jsii.String("Sum"),
					}},
					&query{Id: jsii.String("tasks"), ReturnData: jsii.Bool(false), MetricStat: &stat{
						Metric: &metric{
							Namespace: jsii.String("AWS/ApplicationELB"), MetricName: jsii.String("HealthyHostCount"), Dimensions: []any{
								front, &dimension{Name: jsii.String("TargetGroup"), Value: s.frontTarget.TargetGroupFullName()},
							},
						},
						Stat: jsii.String("Average"),
					}},
					&query{Id: jsii.String("each"), Expression: jsii.String("connections / tasks"), ReturnData: jsii.Bool(true)},
				},
			},
		},
	}).Node().AddDependency(target)
}

// scalable returns the id under which the service's number of tasks is registered.
func (s *Signaling) scalable() *string {
	return jsii.String("service/" + *s.Service.Cluster().ClusterName() + "/" + *s.Service.ServiceName())
}
