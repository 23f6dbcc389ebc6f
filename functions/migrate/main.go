// Command migrate is the function that brings the database's schema up to date.
// The deployment invokes it as a custom resource of CloudFormation (through the
// CDK's provider framework), the local stack with an empty object.
//
// Environment: DATABASE_SECRET_ARN (the owner of the tables), ADMIN_SECRET_ARN (the first
// account's password); ROLE_<FUNCTION>_SECRET_ARN for each function that uses the database
// (name and password of its role), ROLE_CONNECTIONS (the limits of their connections, such as
// {"api":20}; none by default);
// LOG_LEVEL; and what lambdahost.NewHost reads.
package main

import (
	"context"

	"github.com/insighthub/insighthub/lib/aws/secrets"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/timescale"
)

func main() { lambdahost.Main(build) }

// build makes the function from its environment.
func build(_ context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	database, admin := h.Env.Required("DATABASE_SECRET_ARN"), h.Env.Required("ADMIN_SECRET_ARN")
	roles := parseRoles(h.Env)
	if err := h.Env.Err(); err != nil {
		return lambdahost.Function{}, err
	}
	return lambdahost.Function{Handler: &handler{log: h.Log, migrate: func(ctx context.Context) (timescale.Migrated, error) {
		return migrate(ctx, secrets.NewWriter(h.AWS), database, admin, roles, h.Log)
	}}}, nil
}
