package api

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// respond writes a resource as view shows it, with its version as ETag, or returns err.
func respond[T any](c *call, status int, view func(T) (document any, version directory.Version), resource T, err error) error {
	if err != nil {
		return err
	}
	document, version := view(resource)
	c.w.Header().Set("ETag", `"`+strconv.FormatInt(int64(version), 10)+`"`)
	return c.respondUncached(status, document)
}

// respondUncached writes a document that no cache may store.
func (c *call) respondUncached(status int, document any) error {
	c.w.Header().Set("Cache-Control", "no-store")
	return lambdahttp.WriteJSON(c.w, status, document)
}

// noContent responds with 204, or returns err.
func (c *call) noContent(err error) error {
	if err == nil {
		c.w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// pages are the parameters of a list that has no others.
func pages() []string { return []string{"limit", "cursor"} }

// list serves one page of a list with the parameters pages. name identifies the list
// in its cursors, key returns what the list is ordered by.
func list[T any](
	c *call, name string, view func(T) (any, directory.Version), key func(T) string, find func(directory.Page) ([]T, error),
) error {
	page, err := pageParameters(c.values, name)
	if err != nil {
		return err
	}
	found, err := find(page)
	if err != nil {
		return err
	}
	return respondPage(c, name, page, found, documentOf(view), key)
}

// documentOf returns view without the version.
func documentOf[T any](view func(T) (any, directory.Version)) func(T) any {
	return func(resource T) any {
		document, _ := view(resource)
		return document
	}
}

// respondPage writes the entries of a page, with the cursor of the next page when there
// may be one.
func respondPage[T any](c *call, name string, page directory.Page, found []T, document func(T) any, key func(T) string) error {
	response := struct {
		Items []any  `json:"items"`
		Next  string `json:"next_cursor,omitempty"`
	}{Items: make([]any, len(found))}
	for i, entry := range found {
		response.Items[i] = document(entry)
	}
	if len(found) > 0 && len(found) == page.Limit {
		response.Next = cursor(name, key(found[len(found)-1]))
	}
	return lambdahttp.WriteJSON(c.w, http.StatusOK, response)
}

// pageParameters reads the parameters limit and cursor of a list.
func pageParameters(values url.Values, list string) (directory.Page, error) {
	limit, err := limitParameter(values, defaultLimit, maxLimit)
	if err != nil {
		return directory.Page{}, err
	}
	page := directory.Page{Limit: limit}
	if text := values.Get("cursor"); text != "" {
		page.After, err = readCursor(text, list)
	}
	return page, err
}

func limitParameter(values url.Values, standard, most int) (int, error) {
	text := values.Get("limit")
	if text == "" {
		return standard, nil
	}
	n, err := wholeNumber(text, 1, int64(most))
	if err != nil {
		return 0, badRequest(`Parameter "limit" must be a whole number from 1 to %d.`, most)
	}
	return int(n), nil
}

// wholeNumber reads a number in its only form: digits, without a sign of its own or zeros
// before it.
func wholeNumber(text string, least, most int64) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text || n < least || n > most {
		return 0, telemetry.ErrInvalid
	}
	return n, nil
}

// A cursor holds the list's name and the key of the last entry of the page. It grants
// nothing: the caller's role is checked on each page, and a cursor is valid for the list
// that it was made for only.
func cursor(list, last string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(list + "\x00" + last))
}

func readCursor(text, list string) (string, error) {
	if len(text) > maxCursorBytes {
		return "", foreignCursor()
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || !utf8.Valid(raw) {
		return "", foreignCursor()
	}
	name, last, ok := strings.Cut(string(raw), "\x00")
	if !ok || name != list || last == "" || strings.ContainsRune(last, 0) {
		return "", foreignCursor()
	}
	return last, nil
}

func foreignCursor() error { return badRequest(`Parameter "cursor" is not a cursor of this list.`) }

// optionalTime returns nil, which is null in JSON, for the zero time.
func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
