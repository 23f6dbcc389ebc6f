package contracttest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// CheckFront reports how a response of API Gateway itself, which is not a problem
// document, differs from the contract; outside the contract's paths it must be 404, or
// under /v1, which requires a token, another one that it sends anywhere there. The headers
// that API Gateway adds to every response are ignored.
func (c *Contract) CheckFront(x Exchange) error {
	if kind := headerSet(x.Headers).Get("Content-Type"); x.Status < http.StatusBadRequest || kind != "application/json" {
		return fmt.Errorf("%s %s: %d, Content-Type %q: want an error of API Gateway in application/json", x.Method, x.Path, x.Status, kind)
	}
	head := x.Method == http.MethodHead && len(x.Body) == 0
	if err := c.validateJSON("#/components/schemas/FrontMessage", x.Body); err != nil && !head {
		return fmt.Errorf("%s %s, %d: %w", x.Method, x.Path, x.Status, err)
	}
	if _, _, ok := c.find(x.Method, x.Path); ok {
		x.Headers = maps.Clone(x.Headers)
		maps.DeleteFunc(x.Headers, func(name, _ string) bool {
			name = http.CanonicalHeaderKey(name)
			return name == "Apigw-Requestid" || name == "Content-Length"
		})
		return c.Check(x)
	}
	anywhere := []int{
		http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
	if x.Status != http.StatusNotFound && (!strings.HasPrefix(x.Path, "/v1/") || !slices.Contains(anywhere, x.Status)) {
		return fmt.Errorf("%s %s is not in the contract: got status %d, want 404", x.Method, x.Path, x.Status)
	}
	return nil
}

// Statuses returns the statuses of an operation in ascending order.
func (c *Contract) Statuses(method, path string) []int {
	o, _, _ := c.find(method, path)
	var statuses []int
	for text := range object(o.members["responses"]) {
		if status, err := strconv.Atoi(text); err == nil {
			statuses = append(statuses, status)
		}
	}
	slices.Sort(statuses)
	return statuses
}
