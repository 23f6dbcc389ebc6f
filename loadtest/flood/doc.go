// Package flood measures what strangers can do to a platform: it sends a thousand requests a
// second to each endpoint that anybody can reach, in turn, while gateways send telemetry and
// an administrator changes a site, and compares both with quiet phases in between.
//
// The endpoints are those of the contract that the stack serves. The requests get as far as
// garbage can: names that do not exist, refresh tokens of the right form, tokens and
// assertions that are wrong in their signature only, each from one of many addresses. The
// same flood against a server that does nothing shows what the generator alone costs on a
// machine that it shares with the platform.
package flood
