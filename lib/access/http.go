package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/lambda/deadline"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// maxBodyBytes bounds a request of this package: credentials are short.
const maxBodyBytes = 16 << 10

// patience bounds a request. The function's own deadline cuts it further: a database
// that hangs is then an answer of 503, and not an end of the function without one.
const patience = 10 * time.Second

// assertionType is client_assertion_type (RFC 7523, 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Handler serves the platform's token endpoints:
//
//	POST /v1/login, /v1/refresh, /v1/logout     people; JSON
//	POST /v1/token                              gateways; RFC 6749, 4.4 and RFC 7523, 2.2
//	GET  /.well-known/jwks.json                 RFC 7517
//	GET  /.well-known/oauth-authorization-server  RFC 8414
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range s.routes() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := deadline.WithMargin(r.Context(), time.Now(), patience)
			defer cancel()
			serve(w, r.WithContext(ctx))
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		lambdahttp.WriteProblem(w, problem.Document{Status: http.StatusNotFound, Detail: "there is nothing at " + r.Method + " " + r.URL.Path})
	})
	return mux
}

func (s *Service) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"POST /v1/login":                              s.serveLogin,
		"POST /v1/refresh":                            s.serveRefresh,
		"POST /v1/logout":                             s.serveLogout,
		"POST /v1/token":                              s.serveToken,
		"GET /.well-known/jwks.json":                  s.serveKeys,
		"GET /.well-known/oauth-authorization-server": s.serveMetadata,
	}
}

// Patterns returns every route of Handler, as "METHOD /path".
func Patterns() []string { return slices.Sorted(maps.Keys((*Service).routes(nil))) }

type pairAnswer struct {
	AccessToken      string `json:"access_token"`
	TokenType        string `json:"token_type"`
	ExpiresIn        int    `json:"expires_in"`
	RefreshToken     string `json:"refresh_token,omitempty"`
	RefreshExpiresIn int    `json:"refresh_expires_in,omitempty"`
}

func (s *Service) serveLogin(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Name     string `json:"name"`
		Password string `json:"password"`
	}
	if !readJSON(w, r, &request) {
		return
	}
	pair, err := s.Login(r.Context(), request.Name, request.Password, lambdahttp.InfoOf(r.Context()).SourceIP)
	s.answerPair(w, r, pair, err, "the name or the password is wrong")
}

type refreshRequest struct {
	RefreshToken string `json:"refresh_token"`
}

func (s *Service) serveRefresh(w http.ResponseWriter, r *http.Request) {
	var request refreshRequest
	if !readJSON(w, r, &request) {
		return
	}
	pair, err := s.Refresh(r.Context(), request.RefreshToken, lambdahttp.InfoOf(r.Context()).SourceIP)
	s.answerPair(w, r, pair, err, "the refresh token is not good; log in again")
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

// answerPair answers with a pair of tokens, or with one text for all that may be
// wrong with what was sent.
func (s *Service) answerPair(w http.ResponseWriter, r *http.Request, pair Pair, err error, wrong string) {
	refused, ok := errors.AsType[*Refused](err)
	switch {
	case ok && refused.RetryAfter > 0:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(refused.RetryAfter.Seconds()))))
		lambdahttp.WriteProblem(w, problem.Document{Status: http.StatusTooManyRequests, Detail: "too many failed attempts; wait"})
	case ok:
		lambdahttp.WriteProblem(w, problem.Document{Status: http.StatusUnauthorized, Detail: wrong})
	case err != nil:
		s.fail(w, r, err)
	default:
		s.writeToken(w, r, pairAnswer{
			AccessToken: pair.Access, TokenType: "Bearer", ExpiresIn: int(pair.AccessExpires.Seconds()),
			RefreshToken: pair.Refresh, RefreshExpiresIn: int(pair.RefreshExpires.Seconds()),
		})
	}
}

func (s *Service) writeToken(w http.ResponseWriter, r *http.Request, answer pairAnswer) {
	w.Header().Set("Cache-Control", "no-store") // RFC 6749, 5.1
	if err := lambdahttp.WriteJSON(w, http.StatusOK, answer); err != nil {
		s.config.Log.ErrorContext(r.Context(), "answer", "error", err)
	}
}

// fail answers when the platform can not tell. Internal texts stay in the log.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, err error) {
	info := lambdahttp.InfoOf(r.Context())
	status := http.StatusInternalServerError
	if errors.Is(err, telemetry.ErrUnavailable) {
		status = http.StatusServiceUnavailable
	}
	s.config.Log.ErrorContext(r.Context(), "request failed", "request_id", info.ID, "path", r.URL.Path, "error", err)
	lambdahttp.WriteProblem(w, problem.Document{Status: status, Detail: "request " + info.ID + " could not be served; nobody was logged in"})
}

// serveToken is the token endpoint of OAuth 2.0, whose errors have a form of their own.
func (s *Service) serveToken(w http.ResponseWriter, r *http.Request) {
	form, code, text := readForm(w, r)
	if code == "" {
		code, text = checkForm(form)
	}
	if code != "" {
		writeOAuthError(w, http.StatusBadRequest, code, text)
		return
	}
	audiences := []string{s.config.Issuer, s.config.Issuer + "/v1/token"}
	access, err := s.GatewayToken(r.Context(), form.Get("client_assertion"), form.Get("client_id"), audiences, lambdahttp.InfoOf(r.Context()).SourceIP)
	if _, ok := errors.AsType[*Refused](err); ok {
		writeOAuthError(w, http.StatusUnauthorized, "invalid_client", "the assertion is not accepted")
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.writeToken(w, r, pairAnswer{AccessToken: access, TokenType: "Bearer", ExpiresIn: int(token.GatewayLifetime.Seconds())})
}

func readForm(w http.ResponseWriter, r *http.Request) (form url.Values, code, text string) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, "invalid_request", "want Content-Type application/x-www-form-urlencoded"
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err != nil {
		return nil, "invalid_request", fmt.Sprintf("the body exceeds %d bytes", maxBodyBytes)
	}
	if form, err = url.ParseQuery(string(body)); err != nil {
		return nil, "invalid_request", "the body is no form"
	}
	for name, values := range form {
		if len(values) > 1 { // RFC 6749, 3.2
			return nil, "invalid_request", fmt.Sprintf("%q stands more than once", strings.Map(plain, name))
		}
	}
	return form, "", ""
}

func checkForm(form url.Values) (code, text string) {
	switch {
	case form.Get("grant_type") != "client_credentials":
		return "unsupported_grant_type", "want grant_type client_credentials"
	case form.Get("client_assertion_type") != assertionType:
		return "invalid_request", "want client_assertion_type " + assertionType
	case form.Get("client_assertion") == "":
		return "invalid_request", "want client_assertion"
	default:
		return "", ""
	}
}

// plain keeps what an error text may hold (RFC 6749, 5.2).
func plain(r rune) rune {
	if r < ' ' || r > '~' || r == '"' || r == '\\' {
		return '?'
	}
	return r
}

func writeOAuthError(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	_ = lambdahttp.WriteJSON(w, status, map[string]string{"error": code, "error_description": text})
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

// serveMetadata tells clients where the endpoints are.
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

// readJSON reads the body into v, or answers why not and returns false.
func readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		lambdahttp.WriteProblem(w, problem.Document{Status: http.StatusUnsupportedMediaType, Detail: "want Content-Type application/json"})
		return false
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err == nil {
		err = decode(raw, v)
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		lambdahttp.WriteProblem(w, problem.Document{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body exceeds %d bytes", maxBodyBytes)})
		return false
	}
	if err != nil {
		// The decoder's own text may quote a password.
		lambdahttp.WriteProblem(w, problem.Document{Status: http.StatusBadRequest, Detail: "the body is not the JSON object that is wanted here"})
		return false
	}
	return true
}

// decode reads one JSON document of known members.
func decode(raw []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return err
	}
	if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
		return errors.New("something follows the document")
	}
	return lambdahttp.Exact(raw, v)
}
