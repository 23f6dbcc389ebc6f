package api

// operationOf returns the operationId that docs/openapi.yaml has for a route that reads; it is
// empty for a route that changes something. The functions behind it hold each against the
// contract in their tests.
func operationOf(pattern string) string {
	const (
		site    = "GET /v1/sites/{site}"
		gateway = site + "/gateways/{gateway}"
	)
	switch pattern {
	case "GET /v1/sites":
		return "listSites"
	case site:
		return "getSite"
	case site + "/gateways":
		return "listGateways"
	case gateway:
		return "getGateway"
	case gateway + "/keys":
		return "listGatewayKeys"
	case gateway + "/devices":
		return "listDevices"
	case gateway + "/devices/{device}":
		return "getDevice"
	case gateway + "/devices/{device}/kpi-config":
		return "getKPIConfig"
	case gateway + "/metrics":
		return "listMetrics"
	case gateway + "/metrics/{metric}":
		return "getMetric"
	case site + "/readings":
		return "getReadings"
	case site + "/latest":
		return "getLatest"
	case site + "/conflicts":
		return "listConflicts"
	case site + "/conflicts/devices":
		return "listConflictingDevices"
	case site + "/kpis":
		return "getKPIs"
	case site + "/anomalies":
		return "listAnomalies"
	case site + "/anomalies/{anomaly}":
		return "getAnomaly"
	case site + "/alarm-rules":
		return "listAlarmRules"
	case site + "/alarm-rules/{rule}":
		return "getAlarmRule"
	case site + "/ice-servers":
		return "getICEServers"
	case "GET /v1/users":
		return "listUsers"
	case "GET /v1/users/{user}":
		return "getUser"
	case "GET /v1/me":
		return "getMe"
	case "GET /v1/audit":
		return "listAudit"
	case "GET /v1/access":
		return "listAccess"
	case "POST /v1/sites/{site}/exports":
		return "createExport"
	default:
		return ""
	}
}
