package tracing_test

import (
	"context"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/tracing"
)

const root = "1-67891233-abcdef012345678912345678"

// invocation returns a context as aws-lambda-go makes it.
func invocation(h string) context.Context {
	return context.WithValue(context.Background(), "x-amzn-trace-id", h) //nolint:staticcheck // the runtime's own key
}

func TestHeaderCrossesTheStream(t *testing.T) {
	sent := tracing.Header(invocation("Root=" + root + ";Parent=53995c3f42cd8ad8;Sampled=1"))
	ctx := tracing.Continue(invocation("Root=1-00000000-000000000000000000000000;Sampled=0"), sent)
	if got := tracing.TraceID(ctx); got != root {
		t.Errorf("trace id %q, want %q", got, root)
	}
	if !tracing.Sampled(ctx) {
		t.Error("sampling decision lost")
	}
	if got := tracing.Header(ctx); got != sent {
		t.Errorf("header %q, want %q", got, sent)
	}
}

func TestHeaderOfNoTrace(t *testing.T) {
	for name, h := range map[string]string{
		"empty":            "",
		"no root":          "Parent=53995c3f42cd8ad8;Sampled=1",
		"empty root":       "Root=;Sampled=1",
		"too long":         "Root=" + root + ";Foo=" + strings.Repeat("x", 300),
		"line break":       "Root=" + root + "\r\nX-Injected: 1",
		"not ASCII":        "Root=" + root + ";Foo=é",
		"only in a member": "Foo=Root=" + root,
	} {
		t.Run(name, func(t *testing.T) {
			if got := tracing.Header(invocation(h)); got != "" {
				t.Errorf("header %q, want none", got)
			}
			ctx := tracing.Continue(invocation("Root="+root), h)
			if got := tracing.TraceID(ctx); got != root {
				t.Errorf("trace id %q, want the invocation's own", got)
			}
		})
	}
	if tracing.Header(t.Context()) != "" || tracing.TraceID(t.Context()) != "" || tracing.Sampled(t.Context()) {
		t.Error("a trace without an invocation")
	}
}
