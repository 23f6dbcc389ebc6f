// Package httpapi answers HTTP requests the way an API Gateway HTTP API does:
// it finds the route, asks the route's Lambda authorizer, and invokes the
// route's function with payload format 2.0.
//
// # Routes
//
// A route is a method (or ANY) and a path, or $default. Of the routes whose
// method and path match the most specific path wins, segment by segment: text
// before {name} before {name+}; of equal paths the named method wins over ANY;
// $default takes what is left.
//
// # Authorizers
//
// The identity sources are looked up first. One that is absent or empty is
// answered with 401 and the function is not invoked. An answer, yes or no, is
// kept for the authorizer's TTL under the values of the identity sources, for
// all routes of that authorizer, as API Gateway does; requests that come at the
// same time share one call. Failures are not kept.
//
// # Answers of the front itself
//
//	401 {"message":"Unauthorized"}               identity source missing
//	403 {"message":"Forbidden"}                  the authorizer says no
//	404 {"message":"Not Found"}                  no route
//	408 {"message":"Request Timeout"}            body slower than 30 s
//	413 {"message":"Request Entity Too Large"}   body above 10 MB, or payload above Lambda's 6 MB
//	500 {"message":"Internal Server Error"}      the function or the authorizer failed, or answered in no known form
//	503 {"message":"Service Unavailable"}        timeout of the integration, or no concurrency left
//
// A REST API answers the last with 504 and 500; an HTTP API with 503 in both
// cases, which a client may retry.
//
// # The request as the function sees it
//
// A body is passed as text when its content type is text (text/*, JSON, XML,
// JavaScript, and types ending in +json or +xml) and it has no content
// encoding; otherwise in base64. Header names are in lower case and repeated
// headers joined with commas; cookies stand in a list of their own.
package httpapi
