// Package httpapi emulates an API Gateway HTTP API: it finds the route of a request,
// invokes the route's Lambda authorizer and then the route's function, with payload
// format 2.0.
//
// # Routes
//
// A route is a method (or ANY) and a path, or $default. Of the routes whose method
// and path match the most specific path wins, segment by segment: text before {name}
// before {name+}. Of equal paths a method wins over ANY. $default matches all other
// requests.
//
// # Authorizers
//
// If an identity source is absent or empty, the response is 401 and the authorizer is
// not invoked. Its decision, to allow or to deny, is cached for the authorizer's TTL
// under the values of the identity sources, for all of its routes, as API Gateway does.
// Concurrent requests share one invocation. Failures are not cached.
//
// # Throttles
//
// Each route has a token bucket of its own. It is asked before the authorizer: a request
// that it stops invokes nothing, and costs nothing but this response.
//
// # Error responses of the API itself
//
//	401 {"message":"Unauthorized"}               identity source missing
//	403 {"message":"Forbidden"}                  the authorizer denies
//	404 {"message":"Not Found"}                  no route
//	408 {"message":"Request Timeout"}            body slower than 30 s
//	413 {"message":"Request Entity Too Large"}   body above 10 MB, or payload above Lambda's 6 MB
//	429 {"message":"Too Many Requests"}          the route's throttle
//	500 {"message":"Internal Server Error"}      the function or the authorizer failed, or its response is not valid
//	503 {"message":"Service Unavailable"}        timeout of the integration, or no concurrency left
//
// For the last a REST API responds with 504 and 500, an HTTP API with 503 in both cases,
// which a client may retry.
//
// # The event of the function
//
// A body is passed as text when its content type is text (text/*, JSON, XML,
// JavaScript, and types ending in +json or +xml) and it has no content
// encoding; otherwise in base64. Header names are in lower case and repeated
// headers are joined with commas; cookies have a list of their own.
package httpapi
