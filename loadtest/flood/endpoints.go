package flood

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Endpoint is what a stranger can send requests to.
type Endpoint struct {
	// Name is the method and the path of an operation, or says what several have in common.
	Name string
	// append appends the HTTP/1.1 request with a number to dst. No two requests are equal.
	append func(dst []byte, n uint64) []byte
}

// Contract is what the requests must look like to get as far as garbage can get.
type Contract struct {
	// OpenAPI is the contract of the API.
	OpenAPI []byte
	// KeyID is the id of a key that verifies tokens, Issuer their issuer. Anybody can read both.
	KeyID, Issuer string
}

// Endpoints returns all open operations of the contract, those without security, and those
// that require a token, for strangers without one and with garbage in its place.
func Endpoints(c Contract) ([]Endpoint, error) {
	var document struct {
		Paths map[string]map[string]struct {
			Security *[]any `yaml:"security"`
		} `yaml:"paths"`
	}
	if err := yaml.Unmarshal(c.OpenAPI, &document); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	var open, guarded []string
	for path, operations := range document.Paths {
		for method, operation := range operations {
			key := strings.ToUpper(method) + " " + path
			if operation.Security != nil && len(*operation.Security) == 0 {
				open = append(open, key)
			} else if method != "parameters" {
				guarded = append(guarded, key)
			}
		}
	}
	if len(open) == 0 || !slices.Contains(guarded, telemetryRoute) {
		return nil, errors.New("contract: no open operations, or no " + telemetryRoute)
	}
	slices.Sort(open)
	slices.Sort(guarded)
	var all []Endpoint
	for _, key := range open {
		all = append(all, Endpoint{Name: key, append: c.requests([]string{key}, false)})
	}
	others := slices.DeleteFunc(slices.Clone(guarded), func(key string) bool { return key == telemetryRoute })
	return append(
		all,
		Endpoint{Name: telemetryRoute + ", garbage token", append: c.requests([]string{telemetryRoute}, true)},
		Endpoint{Name: fmt.Sprintf("the other %d operations, garbage token", len(others)), append: c.requests(others, true)},
		Endpoint{Name: fmt.Sprintf("all %d operations, no token", len(guarded)), append: c.requests(guarded, false)},
	), nil
}

const telemetryRoute = "POST /v1/telemetry"

var pathParameter = regexp.MustCompile(`\{\w+\}`)

// requests returns requests to the operations in turn.
func (c Contract) requests(operations []string, token bool) func(dst []byte, n uint64) []byte {
	type target struct{ method, path string }
	targets := make([]target, len(operations))
	for i, key := range operations {
		method, path, _ := strings.Cut(key, " ")
		targets[i] = target{method, pathParameter.ReplaceAllString(path, "x")}
	}
	body := make([]byte, 0, 1<<10)
	return func(dst []byte, n uint64) []byte {
		t := targets[n%uint64(len(targets))]
		dst = append(dst, t.method+" "+t.path+" HTTP/1.1\r\nHost: localhost\r\n"...)
		if token {
			dst = append(dst, "Authorization: Bearer "...)
			dst = c.appendToken(dst, n)
			dst = append(dst, "\r\n"...)
		}
		if t.method == http.MethodGet || t.method == http.MethodDelete {
			return append(dst, "\r\n"...)
		}
		var kind string
		body, kind = c.appendBody(body[:0], t.path, n)
		dst = append(dst, "Content-Type: "+kind+"\r\nContent-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(body)), 10)
		dst = append(dst, "\r\n\r\n"...)
		return append(dst, body...)
	}
}

// appendBody appends a body that a function can read, with names and secrets that do not
// exist: requests that are refused at first sight would cost less.
func (c Contract) appendBody(dst []byte, path string, n uint64) (body []byte, contentType string) {
	number := strconv.FormatUint(n, 10)
	const json = "application/json"
	switch path {
	case "/v1/login":
		return append(dst, `{"name":"stranger-`+number+`","password":"a wrong password `+number+`"}`...), json
	case "/v1/refresh", "/v1/logout":
		// As long as a real one: 32 bytes.
		secret := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf("%032d", n)))
		return append(dst, `{"refresh_token":"ihr_`+secret+`"}`...), json
	case "/v1/token":
		dst = append(dst, "grant_type=client_credentials&client_assertion="...)
		dst = c.appendAssertion(dst, n)
		dst = append(dst, "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"...)
		return dst, "application/x-www-form-urlencoded"
	default:
		return append(dst, `{"garbage":"`+number+`"}`...), json
	}
}

// appendToken appends an access token that is right in all but its signature.
func (c Contract) appendToken(dst []byte, n uint64) []byte {
	return c.appendJWT(dst, `{"alg":"ES256","typ":"at+jwt","kid":"`+c.KeyID+`"}`,
		`{"iss":"`+c.Issuer+`","aud":"insighthub","sub":"stranger","exp":`+inMinutes(10)+`,"iat":`+inMinutes(0)+
			`,"jti":"`+strconv.FormatUint(n, 10)+`","grants":{"*":"admin"}}`, n)
}

// appendAssertion appends a gateway's assertion with a key that does not exist.
func (c Contract) appendAssertion(dst []byte, n uint64) []byte {
	name := "stranger-" + strconv.FormatUint(n, 10)
	return c.appendJWT(dst, `{"alg":"ES256","kid":"`+name+`"}`, `{"iss":"`+name+`","sub":"`+name+`","aud":"`+c.Issuer+
		`","exp":`+inMinutes(1)+`,"iat":`+inMinutes(0)+`,"jti":"`+name+`"}`, n)
}

func (Contract) appendJWT(dst []byte, header, claims string, n uint64) []byte {
	dst = base64.RawURLEncoding.AppendEncode(dst, []byte(header))
	dst = append(dst, '.')
	dst = base64.RawURLEncoding.AppendEncode(dst, []byte(claims))
	dst = append(dst, '.')
	return base64.RawURLEncoding.AppendEncode(dst, []byte(fmt.Sprintf("%064d", n))) // an ES256 signature has 64 bytes
}

func inMinutes(n int) string {
	return strconv.FormatInt(time.Now().Add(time.Duration(n)*time.Minute).Unix(), 10)
}
