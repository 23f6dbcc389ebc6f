// Package docs embeds the contract of the HTTP API, openapi.yaml, and the page that is
// generated from it.
package docs

import _ "embed" // for the two documents

//go:generate go run ./page

// OpenAPI is the contract (OpenAPI 3.1). Its ETag is ContractTag.
//
//go:embed openapi.yaml
var OpenAPI []byte

// Page is the contract as HTML. It loads and runs nothing; PagePolicy allows its style
// sheet only. Its ETag is PageTag.
//
//go:embed api.html
var Page []byte
