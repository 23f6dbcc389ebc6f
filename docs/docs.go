// Package docs holds the contract of the HTTP API as it is served: openapi.yaml,
// and the page that is made of it.
package docs

import _ "embed" // for the two documents

//go:generate go run ./page

// OpenAPI is the contract (OpenAPI 3.1). The ETag of it is ContractTag.
//
//go:embed openapi.yaml
var OpenAPI []byte

// Page is the contract as HTML. It loads nothing and runs nothing; its style is the
// one with the digest PageStyle. Its ETag is PageTag.
//
//go:embed api.html
var Page []byte
