package api

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// What a request names in its path and in If-Match is read here. Both are checked before
// the database is asked: a name, an id or a version that nothing can have is not there, and
// no text or number of a client meets a column that it does not fit.

// checkPath returns telemetry.ErrNotFound if a value in the path is none that a resource
// can have.
func (c *call) checkPath() error {
	for name, valid := range map[string]func(string) bool{
		"site": validName, "gateway": validName, "device": validName, "metric": validName,
		"user": isUUID, "rule": isUUID, "anomaly": isID, "key": isThumbprint,
	} {
		if strings.Contains(c.Pattern, "{"+name+"}") && !valid(c.PathValue(name)) {
			return telemetry.ErrNotFound
		}
	}
	return nil
}

func validName(text string) bool { return telemetry.ValidName(text) == nil }

// isID reports whether text is a number of a row in its only form.
func isID(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && n > 0 && strconv.FormatInt(n, 10) == text
}

// isThumbprint reports whether text is a SHA-256 in base64url (RFC 7638).
func isThumbprint(text string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(raw) == 32
}

// version reads If-Match, which every change of a resource that has versions must carry;
// "*" is any version.
func (c *call) version() (directory.Version, error) {
	if len(c.Header["If-Match"]) == 0 || c.Header.Get("If-Match") == "" {
		return 0, &rejection{
			Status: http.StatusPreconditionRequired, Detail: "The change requires If-Match: the ETag of the version that it changes, or *.",
		}
	}
	return c.optionalVersion()
}

// optionalVersion is version of a deletion, whose If-Match may be missing.
//
// The header is a list of entity tags (RFC 9110, 13.1.1), of which one must be that of the
// present version. Weak tags never match, and neither does a tag that no version has.
func (c *call) optionalVersion() (directory.Version, error) {
	text := strings.Join(c.Header.Values("If-Match"), ",")
	if trimmed := strings.TrimSpace(text); trimmed == "" || trimmed == "*" {
		return 0, nil
	}
	tags, ok := entityTags(text)
	if !ok {
		return 0, badRequest(`If-Match must be * or an ETag in quotes, such as "1".`)
	}
	var found directory.Version
	for _, tag := range tags {
		n, ok := versionOf(tag)
		if ok && found != 0 && n != found {
			return 0, badRequest("If-Match must name one version.")
		}
		if ok {
			found = n
		}
	}
	if found == 0 {
		return 0, &rejection{Status: http.StatusPreconditionFailed, Detail: "If-Match is not an ETag of this resource."}
	}
	return found, nil
}

// versionOf returns the version of an entity tag; not ok for a tag that no version has.
func versionOf(tag string) (v directory.Version, ok bool) {
	inner, ok := strings.CutPrefix(tag, `"`) // W/"1" is weak
	inner = strings.TrimSuffix(inner, `"`)
	if !ok || !isID(inner) {
		return 0, false
	}
	n, err := strconv.ParseInt(inner, 10, 64)
	return directory.Version(n), err == nil
}

// entityTags splits a list of entity tags; not ok unless each is one (RFC 9110, 8.8.3).
func entityTags(list string) (tags []string, ok bool) {
	for {
		list = strings.TrimLeft(list, " \t,")
		if list == "" {
			return tags, len(tags) > 0
		}
		start := 0
		if strings.HasPrefix(list, "W/") {
			start = len("W/")
		}
		if start >= len(list) || list[start] != '"' {
			return nil, false
		}
		end := strings.IndexByte(list[start+1:], '"')
		if end < 0 {
			return nil, false
		}
		end += start + 2
		tags, list = append(tags, list[:end]), strings.TrimLeft(list[end:], " \t")
		if list != "" && list[0] != ',' {
			return nil, false
		}
	}
}
