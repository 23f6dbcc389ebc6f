package s3

import (
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/johannesboyne/gofakes3"
)

// conditional gives PutObject the responses of S3 to conditions for which gofakes3 has
// others: If-Match without an object (404 NoSuchKey rather than 412), and an
// If-None-Match other than * (501). The comparison itself and the write are one
// transaction of the bolt file.
func (s *Store) conditional(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bucket, key, isObject := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if r.Method != http.MethodPut || !isObject || key == "" {
			next.ServeHTTP(w, r)
			return
		}
		match, noneMatch := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
		switch {
		case noneMatch != "" && noneMatch != "*":
			reject(w, r, http.StatusNotImplemented, "NotImplemented",
				"A header you provided implies functionality that is not implemented.")
			return
		case match != "":
			// If the object is deleted after this check, the response is 412: both reject the write.
			if _, err := s.backend.HeadObject(bucket, key); gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
				reject(w, r, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// reject writes an error response.
func reject(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	body, err := xml.Marshal(struct {
		XMLName  xml.Name `xml:"Error"`
		Code     string
		Message  string
		Resource string
	}{Code: code, Message: message, Resource: r.URL.Path})
	if err != nil {
		http.Error(w, message, status)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = w.Write(append([]byte(xml.Header), body...))
}
