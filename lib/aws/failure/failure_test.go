package failure_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/insighthub/insighthub/lib/aws/failure"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestWrap(t *testing.T) {
	t.Parallel()
	api := func(code string) error { return &smithy.GenericAPIError{Code: code} }
	status := func(code int, err error) error {
		return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code}}, Err: err,
		}}
	}
	other := errors.New("other")
	codes := map[string]error{"NoSuchThing": telemetry.ErrNotFound, "TooLong": telemetry.ErrInvalid, "Busy": telemetry.ErrUnavailable}
	for name, c := range map[string]struct{ err, want error }{
		"own code":                  {api("NoSuchThing"), telemetry.ErrNotFound},
		"own code before status":    {status(403, api("TooLong")), telemetry.ErrInvalid},
		"own code, transient":       {status(400, api("Busy")), telemetry.ErrUnavailable},
		"throttled":                 {status(400, api("ThrottlingException")), telemetry.ErrUnavailable},
		"throttled, no status":      {api("SlowDown"), telemetry.ErrUnavailable},
		"429":                       {status(429, other), telemetry.ErrUnavailable},
		"404":                       {status(404, other), telemetry.ErrNotFound},
		"412":                       {status(412, other), telemetry.ErrConflict},
		"403":                       {status(403, api("AccessDenied")), nil},
		"304":                       {status(304, other), telemetry.ErrUnavailable},
		"500":                       {status(500, api("InternalError")), telemetry.ErrUnavailable},
		"503":                       {status(503, other), telemetry.ErrUnavailable},
		"network":                   {other, telemetry.ErrUnavailable},
		"deadline":                  {context.DeadlineExceeded, telemetry.ErrUnavailable},
		"cancelled":                 {fmt.Errorf("call: %w", context.Canceled), nil},
		"cancelled during response": {status(200, context.Canceled), nil},
	} {
		got := failure.Wrap(c.err, codes)
		if !errors.Is(got, c.err) {
			t.Errorf("%s: got %v, which does not wrap %v", name, got, c.err)
		}
		for _, sentinel := range []error{telemetry.ErrNotFound, telemetry.ErrInvalid, telemetry.ErrConflict, telemetry.ErrUnavailable} {
			if errors.Is(got, sentinel) != errors.Is(c.want, sentinel) {
				t.Errorf("%s: got %v, want sentinel %v", name, got, c.want)
			}
		}
	}
	if got := failure.Wrap(nil, codes); got != nil {
		t.Errorf("got %v, want nil", got)
	}
}
