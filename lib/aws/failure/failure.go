// Package failure classifies the errors of the AWS SDK by the sentinels of lib/telemetry.
package failure

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Wrap returns err with the sentinel that it stands for, both visible to errors.Is and
// errors.As, or err itself when none fits. The codes are the service's own error codes with
// their sentinels. Of the rest,
//
//   - a caller that cancelled, and a response of 4xx, have no sentinel, but 404 is
//     telemetry.ErrNotFound and 412 is telemetry.ErrConflict;
//   - throttling, 5xx, and a response that is missing or broken are telemetry.ErrUnavailable.
func Wrap(err error, codes map[string]error) error {
	if sentinel := sentinelOf(err, codes); sentinel != nil {
		return fmt.Errorf("%w: %w", sentinel, err)
	}
	return err
}

func sentinelOf(err error, codes map[string]error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if sentinel := codes[api.ErrorCode()]; sentinel != nil {
			return sentinel
		}
	}
	if (retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}).IsErrorThrottle(err) == aws.TrueTernary {
		return telemetry.ErrUnavailable
	}
	var response interface{ HTTPStatusCode() int }
	if errors.As(err, &response) {
		switch status := response.HTTPStatusCode(); {
		case status == http.StatusNotFound:
			return telemetry.ErrNotFound
		case status == http.StatusPreconditionFailed:
			return telemetry.ErrConflict
		case status >= 400 && status < 500 && status != http.StatusTooManyRequests:
			return nil
		}
	}
	return telemetry.ErrUnavailable
}
