package access

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/lambda/deadline"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/token"
)

// maxBodyBytes bounds a request body: credentials are short.
const maxBodyBytes = 16 << 10

// requestTimeout bounds the work on a request, as does the function's own deadline: the
// client gets 503 from a database that hangs, instead of a function that timed out.
const requestTimeout = 10 * time.Second

// assertionType is client_assertion_type (RFC 7523, 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Handler serves the platform's token endpoints:
//
//	POST /v1/login, /v1/refresh, /v1/logout     people; JSON
//	POST /v1/token                              gateways; RFC 6749, 4.4 and RFC 7523, 2.2
//	GET  /.well-known/jwks.json                 RFC 7517
//	GET  /.well-known/oauth-authorization-server  RFC 8414
func (s *Service) Handler() http.Handler {
	mux := lambdahttp.NewMux()
	for pattern, serve := range s.routes() {
		mux.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := checkRequest(r); err != nil {
				rejectRequest(w, r, err)
				return
			}
			ctx, cancel := deadline.WithMargin(r.Context(), time.Now(), requestTimeout)
			defer cancel()
			serve(w, r.WithContext(ctx))
		}))
	}
	return mux
}

// checkRequest rejects what no endpoint here has: parameters, and a body of a GET.
func checkRequest(r *http.Request) error {
	if _, err := lambdahttp.Query(r); err != nil {
		return err
	}
	if r.Method == http.MethodPost {
		return nil
	}
	return lambdahttp.NoBody(r)
}

// rejectRequest responds to what checkRequest found, in the form of the endpoint.
func rejectRequest(w http.ResponseWriter, r *http.Request, err error) {
	if r.URL.Path == tokenPath {
		writeOAuthError(w, http.StatusBadRequest, oauthError{Code: "invalid_request", Description: strings.Map(oauthText, err.Error())})
		return
	}
	lambdahttp.WriteError(w, err)
}

const tokenPath = "/v1/token"

func (s *Service) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"POST /v1/login":                              s.serveLogin,
		"POST /v1/refresh":                            s.serveRefresh,
		"POST /v1/logout":                             s.serveLogout,
		"POST " + tokenPath:                           s.serveToken,
		"GET /.well-known/jwks.json":                  s.serveKeys,
		"GET /.well-known/oauth-authorization-server": s.serveMetadata,
	}
}

// Patterns returns every route of Handler, as "METHOD /path".
func Patterns() []string { return slices.Sorted(maps.Keys((*Service).routes(nil))) }

type tokenResponse struct {
	AccessToken      string `json:"access_token"`
	TokenType        string `json:"token_type"`
	ExpiresIn        int    `json:"expires_in"`
	RefreshToken     string `json:"refresh_token,omitempty"`
	RefreshExpiresIn int    `json:"refresh_expires_in,omitempty"`
}

func (s *Service) serveLogin(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Name     string `json:"name" required:""`
		Password string `json:"password" required:""`
	}
	if !readJSON(w, r, &request) {
		return
	}
	pair, err := s.Login(r.Context(), request.Name, request.Password, lambdahttp.InfoOf(r.Context()).SourceIP)
	s.respondPair(w, r, pair, err, "The name or the password is wrong.")
}

type refreshRequest struct {
	RefreshToken string `json:"refresh_token" required:""`
}

func (s *Service) serveRefresh(w http.ResponseWriter, r *http.Request) {
	var request refreshRequest
	if !readJSON(w, r, &request) {
		return
	}
	pair, err := s.Refresh(r.Context(), request.RefreshToken, lambdahttp.InfoOf(r.Context()).SourceIP)
	s.respondPair(w, r, pair, err, "The refresh token is not valid. Log in.")
}

func (s *Service) serveLogout(w http.ResponseWriter, r *http.Request) {
	var request refreshRequest
	if !readJSON(w, r, &request) {
		return
	}
	if err := s.Logout(r.Context(), request.RefreshToken, lambdahttp.InfoOf(r.Context()).SourceIP); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// respondPair responds with a pair of tokens, or with the same detail for every reason of
// a rejection.
func (s *Service) respondPair(w http.ResponseWriter, r *http.Request, pair Pair, err error, detail string) {
	rejected, ok := errors.AsType[*Rejected](err)
	switch {
	case ok && rejected.RetryAfter > 0:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(rejected.RetryAfter.Seconds()))))
		lambdahttp.WriteProblem(w, problem.Document{
			Status: http.StatusTooManyRequests, Detail: "Too many attempts failed. Retry after the seconds of Retry-After.",
		})
	case ok:
		lambdahttp.WriteProblem(w, problem.Document{Status: http.StatusUnauthorized, Detail: detail})
	case err != nil:
		s.fail(w, r, err)
	default:
		s.writeToken(w, r, tokenResponse{
			AccessToken: pair.Access, TokenType: "Bearer", ExpiresIn: int(pair.AccessExpires.Seconds()),
			RefreshToken: pair.Refresh, RefreshExpiresIn: int(pair.RefreshExpires.Seconds()),
		})
	}
}

func (s *Service) writeToken(w http.ResponseWriter, r *http.Request, response tokenResponse) {
	w.Header().Set("Cache-Control", "no-store") // RFC 6749, 5.1
	if err := lambdahttp.WriteJSON(w, http.StatusOK, response); err != nil {
		s.config.Log.ErrorContext(r.Context(), "response not written", "error", err)
	}
}

// fail responds to failures of the platform; their texts stay in the log. No error of a
// port is the client's fault here, so that a status below 500 would be wrong.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, err error) {
	info := lambdahttp.InfoOf(r.Context())
	status := max(lambdahttp.Status(err), http.StatusInternalServerError)
	s.config.Log.ErrorContext(r.Context(), "request failed", "request_id", info.ID, "path", r.URL.Path, "error", err)
	lambdahttp.WriteProblem(w, problem.Document{
		Status: status, Detail: "Request " + info.ID + " could not be served. No token was issued.",
	})
}

// serveToken is the token endpoint of OAuth 2.0, with OAuth's form of errors.
func (s *Service) serveToken(w http.ResponseWriter, r *http.Request) {
	form, code, text := readForm(w, r)
	if code == "" {
		code, text = checkForm(form)
	}
	if code != "" {
		writeOAuthError(w, http.StatusBadRequest, oauthError{Code: code, Description: text})
		return
	}
	audiences := []string{s.config.Issuer, s.config.Issuer + "/v1/token"}
	source := lambdahttp.InfoOf(r.Context()).SourceIP
	access, err := s.GatewayToken(r.Context(), form.Get("client_assertion"), form.Get("client_id"), audiences, source)
	if rejected, ok := errors.AsType[*Rejected](err); ok {
		s.rejectAssertion(w, rejected)
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.writeToken(w, r, tokenResponse{AccessToken: access, TokenType: "Bearer", ExpiresIn: int(token.GatewayLifetime.Seconds())})
}

func readForm(w http.ResponseWriter, r *http.Request) (form url.Values, code, text string) {
	if err := lambdahttp.WantType(r, "application/x-www-form-urlencoded"); err != nil {
		return nil, "invalid_request", err.Error()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err != nil {
		return nil, "invalid_request", fmt.Sprintf("The body is longer than %d bytes.", maxBodyBytes)
	}
	if form, err = url.ParseQuery(string(body)); err != nil {
		return nil, "invalid_request", "The body is not a valid form."
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if len(form[name]) > 1 { // RFC 6749, 3.2
			return nil, "invalid_request", "Parameter " + strings.Map(oauthText, name) + " is repeated."
		}
	}
	return form, "", ""
}

func checkForm(form url.Values) (code, text string) {
	switch {
	case form.Get("grant_type") != "client_credentials":
		return "unsupported_grant_type", "grant_type must be client_credentials."
	case form.Get("client_assertion_type") != assertionType:
		return "invalid_request", "client_assertion_type must be " + assertionType + "."
	case form.Has("client_secret"): // RFC 6749, 2.3: one method of authentication
		return "invalid_request", "client_secret is not accepted: client_assertion authenticates the gateway."
	case form.Get("client_assertion") == "":
		return "invalid_request", "client_assertion is missing."
	default:
		return "", ""
	}
}

// oauthText replaces characters that an error description must not have (RFC 6749, 5.2).
func oauthText(r rune) rune {
	if r < ' ' || r > '~' || r == '"' || r == '\\' {
		return '?'
	}
	return r
}

// oauthError is an error response of RFC 6749, 5.2.
type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
	// ServerTime lets a gateway compare its clock: with a rejected assertion.
	ServerTime string `json:"server_time,omitempty"`
}

// unexplained is what a client is told of every assertion whose key or signature is not
// valid: it must not learn which gateways and keys exist.
const unexplained = "the gateway is not registered or is revoked, it has no such key, or the signature is not valid"

// rejectAssertion says what is wrong with an assertion, and what time it is: a clock that is
// wrong is the most common reason.
func (s *Service) rejectAssertion(w http.ResponseWriter, rejected *Rejected) {
	now := s.config.Now().UTC()
	at := now.Format(time.RFC3339)
	text := "The assertion is rejected: " + cmp.Or(rejected.Explanation, unexplained) + ". The server's time is " + at + "."
	w.Header().Set("Date", now.Format(http.TimeFormat))
	text = strings.Map(oauthText, strings.ReplaceAll(text, `"`, "'"))
	writeOAuthError(w, http.StatusUnauthorized, oauthError{"invalid_client", text, at})
}

func writeOAuthError(w http.ResponseWriter, status int, e oauthError) {
	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	_ = lambdahttp.WriteJSON(w, status, e)
}

func (s *Service) serveKeys(w http.ResponseWriter, r *http.Request) {
	document, err := s.config.Keys.JWKS(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(document)
}

// serveMetadata serves the addresses of the endpoints (RFC 8414).
func (s *Service) serveMetadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=300")
	err := lambdahttp.WriteJSON(w, http.StatusOK, map[string]any{
		"issuer":                                s.config.Issuer,
		"token_endpoint":                        s.config.Issuer + "/v1/token",
		"jwks_uri":                              s.config.Issuer + "/.well-known/jwks.json",
		"grant_types_supported":                 []string{"client_credentials"},
		"response_types_supported":              []string{},
		"token_endpoint_auth_methods_supported": []string{"private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"ES256"},
	})
	if err != nil {
		s.fail(w, r, err)
	}
}

// readJSON reads the body into v, or responds with a problem and returns false.
func readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	err := lambdahttp.ReadJSON(w, r, v, maxBodyBytes)
	if err != nil {
		lambdahttp.WriteError(w, err)
	}
	return err == nil
}
