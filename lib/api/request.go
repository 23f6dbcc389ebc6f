package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/naming"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	maxBodyBytes   = 256 << 10
	maxTextBytes   = 1024
	defaultLimit   = 100
	maxLimit       = 1000
	maxCursorBytes = 1024
)

// body reads the request's JSON object into v and then checks it. In the body of a PUT no
// member is missing (lambdahttp.ReadJSON).
func (c *call) body(v any, check func(f *fields)) error {
	if err := lambdahttp.ReadJSON(c.w, c.Request, v, maxBodyBytes); err != nil {
		return err
	}
	var f fields
	check(&f)
	return f.err()
}

// nameParameter reads a name of a gateway, device or metric.
func nameParameter[T ~string](values url.Values, parameter string, required bool) (T, error) {
	name := T(values.Get(parameter))
	if name == "" && !required {
		return name, nil
	}
	if telemetry.ValidName(name) != nil {
		return "", badRequest("Parameter %q must be %s.", parameter, aName)
	}
	return name, nil
}

// isUUID reports whether s is a UUID in lower case (RFC 9562, 4).
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// fields collects what is wrong with the members of a body.
type fields struct{ problems []string }

// require adds "member: requirement" unless it is met.
func (f *fields) require(met bool, member, requirement string) {
	if !met {
		f.problems = append(f.problems, member+": "+requirement)
	}
}

// text checks a member that people read.
func (f *fields) text(member, value string) {
	f.require(len(value) <= maxTextBytes && utf8.ValidString(value) && !strings.ContainsFunc(value, unicode.IsControl),
		member, fmt.Sprintf("must be at most %d bytes of UTF-8 without control characters", maxTextBytes))
}

// aName says what telemetry.ValidName accepts.
const aName = "1 to 128 bytes of UTF-8 without control characters"

func requireName[T ~string](f *fields, member string, name T) {
	f.require(telemetry.ValidName(name) == nil, member, "must be "+aName)
}

// newName checks the name of a site or gateway that a person creates.
func newName[T ~string](f *fields, name T) {
	if err := naming.Resource(name); err != nil {
		f.require(false, "name", naming.Reason(err))
	}
}

// maxProblems is how many problems of a body a response lists.
const maxProblems = 50

func (f *fields) err() error {
	if len(f.problems) == 0 {
		return nil
	}
	if more := len(f.problems) - maxProblems; more > 0 {
		f.problems = append(f.problems[:maxProblems:maxProblems], fmt.Sprintf("and %d more", more))
	}
	return &rejection{Status: http.StatusUnprocessableEntity, Detail: strings.Join(f.problems, "; "), Members: f.problems}
}

func marshal(v any) string {
	raw, err := json.Marshal(v)
	if err != nil || v == nil {
		return "{}"
	}
	return string(raw)
}
