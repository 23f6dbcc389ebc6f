package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/problem"
)

// rejection is the response to a request that is not served because of the caller. Its
// texts are for the caller; the texts of all other errors stay in the log.
type rejection struct {
	status int
	detail string
	// fields are "member: what it must be", for a body or a query.
	fields []string
}

// Error returns the text for the caller.
func (r *rejection) Error() string { return r.detail }

func badRequest(format string, arguments ...any) error {
	return &rejection{status: http.StatusBadRequest, detail: fmt.Sprintf(format, arguments...)}
}

// unprocessable rejects a well-formed request that asks for something impossible.
func unprocessable(format string, arguments ...any) error {
	return &rejection{status: http.StatusUnprocessableEntity, detail: fmt.Sprintf(format, arguments...)}
}

// roleRequired rejects a caller who may see the resource and lacks the role for the
// operation.
func roleRequired(role directory.Role, where string) error {
	return &rejection{status: http.StatusForbidden, detail: fmt.Sprintf("This operation requires the role %s%s.", role, where)}
}

// rejectionOf is the one table from the errors of ports to responses; their status is
// that of lambdahttp.Status. It returns nil for failures of the platform.
func rejectionOf(err error) *rejection {
	if r, ok := errors.AsType[*rejection](err); ok {
		return r
	}
	if errors.Is(err, directory.ErrVersion) {
		return &rejection{
			status: http.StatusPreconditionFailed,
			detail: "The resource was changed meanwhile. Read it again, and repeat the change with its present ETag.",
		}
	}
	status := lambdahttp.Status(err)
	switch status {
	case http.StatusNotFound:
		return &rejection{status: status, detail: "The resource does not exist, or you may not see it."}
	case http.StatusConflict:
		return &rejection{status: status, detail: "The resource exists already, or something that it needs does not exist."}
	case http.StatusUnprocessableEntity:
		return &rejection{status: status, detail: "A value cannot be stored."}
	default:
		return nil
	}
}

// writeError is the one place where errors become responses.
func (h *Handler) writeError(c *call, err error) {
	document := problem.Document{Status: lambdahttp.Status(err)}
	if r := rejectionOf(err); r != nil {
		document.Status, document.Detail = r.status, r.detail
		if len(r.fields) > 0 {
			document.Extensions = map[string]any{"errors": r.fields}
		}
	} else {
		id := lambdahttp.InfoOf(c.Context()).ID
		document.Detail = "Request " + id + " could not be served."
		if _, ok := errors.AsType[*unpublishedError](err); ok {
			document.Detail = "The change is stored, but access tokens that were issued before are still accepted, " +
				"for minutes at the most. This is tried again every minute; a repetition with If-Match: * tries it at once. Request " + id + "."
		}
		h.config.Log.ErrorContext(c.Context(), "request failed", "request_id", id, "method", c.Method, "path", c.URL.Path, "error", err)
	}
	lambdahttp.WriteProblem(c.w, document)
}
