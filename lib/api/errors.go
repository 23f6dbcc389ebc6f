package api

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/problem"
)

// rejection is the response to a request that is not served because of the caller.
type rejection = lambdahttp.Rejection

func badRequest(format string, arguments ...any) error {
	return lambdahttp.BadRequest(format, arguments...)
}

// unprocessable rejects a well-formed request that asks for something impossible.
func unprocessable(format string, arguments ...any) error {
	return &rejection{Status: http.StatusUnprocessableEntity, Detail: fmt.Sprintf(format, arguments...)}
}

// roleRequired rejects a caller who may see the resource and lacks the role for the
// operation.
func roleRequired(role directory.Role, where string) error {
	return &rejection{Status: http.StatusForbidden, Detail: fmt.Sprintf("This operation requires the role %s%s.", role, where)}
}

// rejectionOf is the one table from the errors of ports to responses; their status is
// that of lambdahttp.Status. It returns nil for failures of the platform.
func rejectionOf(err error) *rejection {
	if r, ok := errors.AsType[*rejection](err); ok {
		return r
	}
	if errors.Is(err, directory.ErrVersion) {
		return &rejection{
			Status: http.StatusPreconditionFailed,
			Detail: "The resource was changed meanwhile. Read it again, and repeat the change with its present ETag.",
		}
	}
	if full, ok := errors.AsType[*directory.LimitError](err); ok {
		return &rejection{Status: http.StatusConflict, Detail: full.Error()}
	}
	status := lambdahttp.Status(err)
	switch status {
	case http.StatusNotFound:
		return &rejection{Status: status, Detail: "The resource does not exist, or you may not see it."}
	case http.StatusConflict:
		return &rejection{Status: status, Detail: "The resource exists already, or something that it needs does not exist."}
	case http.StatusUnprocessableEntity:
		return &rejection{Status: status, Detail: "A value cannot be stored."}
	default:
		return nil
	}
}

// writeError is the one place where errors become responses.
func (h *Handler) writeError(c *call, err error) {
	document := problem.Document{Status: lambdahttp.Status(err)}
	if r := rejectionOf(err); r != nil {
		document = r.Problem()
		if r.RetryAfter > 0 {
			c.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(r.RetryAfter.Seconds()))))
		}
	} else {
		id := lambdahttp.InfoOf(c.Context()).ID
		document.Detail = "Request " + id + " could not be served."
		if _, ok := errors.AsType[*unpublishedError](err); ok {
			document.Detail = "The change is stored, but access tokens that were issued before are still accepted, " +
				"for minutes at the most. This is tried again every minute; a repetition with If-Match: * tries it at once. " +
				"Request " + id + "."
		}
		h.config.Log.ErrorContext(c.Context(), "request failed", "request_id", id, "method", c.Method, "path", c.URL.Path, "error", err)
	}
	lambdahttp.WriteProblem(c.w, document)
}
