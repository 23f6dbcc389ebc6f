package host

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"unicode"
)

// Redacted replaces a secret in a log line.
const Redacted = "[redacted]"

// Logger returns the logger of a function: JSON lines to standard output, at
// the level that LOG_LEVEL names (debug, info, warn, error; info when it is
// empty or not one of these), with the function's and the stage's names on each
// line. See NewLogger for what it redacts.
func Logger(getenv func(string) string) *slog.Logger {
	var level slog.Level
	text := getenv("LOG_LEVEL")
	err := level.UnmarshalText([]byte(text))
	if err != nil {
		level = slog.LevelInfo
	}
	logger := NewLogger(os.Stdout, level)
	for _, a := range [...]struct{ key, variable string }{
		{"function", "INSIGHTHUB_FUNCTION"},
		{"stage", "INSIGHTHUB_STAGE"},
	} {
		if v := getenv(a.variable); v != "" {
			logger = logger.With(a.key, v)
		}
	}
	if err != nil && text != "" {
		logger.Warn("unknown LOG_LEVEL, using info", "level", text)
	}
	return logger
}

// NewLogger returns a logger of JSON lines to w. The value of an attribute
// whose name is or ends in the word token, password, dsn, secret or
// authorization ("token", "database_dsn", "TokenSecret") is replaced by
// Redacted, in groups too. Messages, other attributes and the fields of structs are
// not searched: never log a request's headers or a DSN
// under another name.
func NewLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if secret(a.Key) {
				a.Value = slog.StringValue(Redacted)
			}
			return a
		},
	}))
}

// secret reports whether the last word of an attribute's name says that its value is secret.
func secret(key string) bool {
	last := strings.LastIndexFunc(key, func(r rune) bool { return !unicode.IsLetter(r) })
	word := strings.ToLower(key[last+1:])
	for _, s := range [...]string{"token", "password", "dsn", "secret", "authorization"} {
		if strings.HasSuffix(word, s) {
			return true
		}
	}
	return false
}
