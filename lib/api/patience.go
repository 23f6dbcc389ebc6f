package api

import (
	"context"
	"time"

	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
)

// patience bounds a request; an export may use what the function has.
const patience = 10 * time.Second

// patient bounds the work on a request.
func patient(ctx context.Context, long bool) (context.Context, context.CancelFunc) {
	if long {
		return lambdahttp.Patient(ctx, 0)
	}
	return lambdahttp.Patient(ctx, patience)
}
