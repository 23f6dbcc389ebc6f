package httpapi

import (
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// event is a request that becomes the event of a function or an authorizer.
type event struct {
	api        *API
	request    *http.Request
	route      *route
	parameters []pathParameter
	query      url.Values
	id         string
	trace      string
	path       string // of the route, without the stage
	sourceIP   string
	bodyBytes  int
	at         time.Time
}

// appendRequest appends the event of a function in payload format 2.0. The context, if
// any, is the JSON of the authorizer.
func (e *event) appendRequest(dst, body, authorizerContext []byte) []byte {
	dst = append(dst, `{"version":"2.0"`...)
	dst = e.appendCommon(dst)
	dst = append(dst, `,"requestContext":{"accountId":`...)
	dst = appendString(dst, e.api.cfg.AccountID)
	dst = e.appendContext(dst, authorizerContext)
	if len(body) > 0 {
		if isText(e.request.Header) {
			dst = append(dst, `,"body":`...)
			dst = appendJSON(dst, body)
			return append(dst, `,"isBase64Encoded":false}`...)
		}
		dst = append(dst, `,"body":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, body)
		return append(dst, `","isBase64Encoded":true}`...)
	}
	return append(dst, `,"isBase64Encoded":false}`...)
}

// appendAuthorizerRequest appends the event of an authorizer.
func (e *event) appendAuthorizerRequest(dst []byte, identity []string) []byte {
	dst = append(dst, `{"version":"2.0","type":"REQUEST","routeArn":`...)
	dst = appendString(dst, e.arn())
	dst = append(dst, `,"identitySource":`...)
	dst = appendStrings(dst, identity)
	dst = e.appendCommon(dst)
	dst = append(dst, `,"requestContext":{"accountId":`...)
	dst = appendString(dst, e.api.cfg.AccountID)
	dst = e.appendContext(dst, nil)
	return append(dst, '}')
}

// arn returns the ARN of the request, which IAM policies match.
func (e *event) arn() string {
	c := &e.api.cfg
	return "arn:aws:execute-api:" + c.Region + ":" + c.AccountID + ":" + c.APIID + "/" + c.Stage + "/" + e.request.Method + e.path
}

func (e *event) rawPath() string {
	if e.api.cfg.Stage == defaultStage {
		return e.path
	}
	return "/" + e.api.cfg.Stage + e.path
}

func (e *event) appendCommon(dst []byte) []byte {
	dst = append(dst, `,"routeKey":`...)
	dst = appendString(dst, e.route.key)
	dst = append(dst, `,"rawPath":`...)
	dst = appendString(dst, e.rawPath())
	dst = append(dst, `,"rawQueryString":`...)
	dst = appendString(dst, e.request.URL.RawQuery)
	if cookies := e.request.Header["Cookie"]; len(cookies) > 0 {
		dst = append(dst, `,"cookies":`...)
		dst = appendStrings(dst, splitCookies(cookies))
	}
	dst = append(dst, `,"headers":{`...)
	dst = e.appendHeaders(dst)
	dst = append(dst, '}')
	if len(e.query) > 0 {
		dst = append(dst, `,"queryStringParameters":{`...)
		for i, name := range sortedKeys(e.query) {
			dst = appendMember(dst, i, name, strings.Join(e.query[name], ","))
		}
		dst = append(dst, '}')
	}
	if len(e.parameters) > 0 {
		dst = append(dst, `,"pathParameters":{`...)
		for i, p := range e.parameters {
			dst = appendMember(dst, i, p.name, p.value)
		}
		dst = append(dst, '}')
	}
	if variables := e.api.cfg.StageVariables; len(variables) > 0 {
		dst = append(dst, `,"stageVariables":{`...)
		for i, name := range sortedKeys(variables) {
			dst = appendMember(dst, i, name, variables[name])
		}
		dst = append(dst, '}')
	}
	return dst
}

// appendContext appends the members of requestContext after the account, and its end.
func (e *event) appendContext(dst, authorizerContext []byte) []byte {
	cfg, r := &e.api.cfg, e.request
	dst = append(dst, `,"apiId":`...)
	dst = appendString(dst, cfg.APIID)
	if authorizerContext != nil {
		dst = append(dst, `,"authorizer":{"lambda":`...)
		dst = append(dst, authorizerContext...)
		dst = append(dst, '}')
	}
	dst = append(dst, `,"domainName":`...)
	dst = appendString(dst, hostname(r.Host))
	dst = append(dst, `,"domainPrefix":`...)
	prefix, _, _ := strings.Cut(hostname(r.Host), ".")
	dst = appendString(dst, prefix)
	dst = append(dst, `,"http":{"method":`...)
	dst = appendString(dst, r.Method)
	dst = append(dst, `,"path":`...)
	dst = appendString(dst, e.rawPath())
	dst = append(dst, `,"protocol":`...)
	dst = appendString(dst, r.Proto)
	dst = append(dst, `,"sourceIp":`...)
	dst = appendString(dst, e.sourceIP)
	dst = append(dst, `,"userAgent":`...)
	dst = appendString(dst, r.UserAgent())
	dst = append(dst, `},"requestId":`...)
	dst = appendString(dst, e.id)
	dst = append(dst, `,"routeKey":`...)
	dst = appendString(dst, e.route.key)
	dst = append(dst, `,"stage":`...)
	dst = appendString(dst, cfg.Stage)
	dst = append(dst, `,"time":"`...)
	dst = e.at.UTC().AppendFormat(dst, "02/Jan/2006:15:04:05 -0700")
	dst = append(dst, `","timeEpoch":`...)
	dst = strconv.AppendInt(dst, e.at.UnixMilli(), 10)
	return append(dst, '}')
}

// appendHeaders appends the members of headers; those that the API sets itself are last.
func (e *event) appendHeaders(dst []byte) []byte {
	header := e.request.Header
	n := 0
	for _, name := range sortedKeys(header) {
		switch name {
		case "Connection", "Content-Length", "Cookie", "Keep-Alive", "Proxy-Connection", "Te", "Trailer",
			"Transfer-Encoding", "Upgrade", "X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto":
			continue
		}
		dst = appendMember(dst, n, strings.ToLower(name), strings.Join(header[name], ","))
		n++
	}
	dst = appendMember(dst, n, "host", e.request.Host)
	if e.bodyBytes > 0 || header.Get("Content-Length") != "" {
		dst = append(dst, `,"content-length":"`...)
		dst = strconv.AppendInt(dst, int64(e.bodyBytes), 10)
		dst = append(dst, '"')
	}
	dst = appendMember(dst, 1, "x-amzn-trace-id", e.trace)
	dst = appendMember(dst, 1, "x-forwarded-for", strings.Join(append(slices.Clip(header["X-Forwarded-For"]), e.sourceIP), ", "))
	scheme, port := "http", "80"
	if e.request.TLS != nil {
		scheme, port = "https", "443"
	}
	if _, p, err := net.SplitHostPort(e.request.Host); err == nil {
		port = p
	}
	dst = appendMember(dst, 1, "x-forwarded-port", port)
	return appendMember(dst, 1, "x-forwarded-proto", scheme)
}

func appendMember(dst []byte, i int, name, value string) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	dst = appendString(dst, name)
	dst = append(dst, ':')
	return appendString(dst, value)
}

func appendStrings(dst []byte, values []string) []byte {
	dst = append(dst, '[')
	for i, value := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, value)
	}
	return append(dst, ']')
}

func splitCookies(lines []string) []string {
	var cookies []string
	for _, line := range lines {
		for cookie := range strings.SplitSeq(line, ";") {
			if cookie = strings.TrimSpace(cookie); cookie != "" {
				cookies = append(cookies, cookie)
			}
		}
	}
	return cookies
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}

// isText reports whether the body is passed as text.
func isText(header http.Header) bool {
	if encoding := header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return false
	}
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	switch kind {
	case "", "application/json", "application/xml", "application/javascript":
		return true
	}
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml")
}
