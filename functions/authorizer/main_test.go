package main

import (
	"log/slog"
	"strings"
	"testing"
)

func TestBuild(t *testing.T) {
	t.Parallel()
	values := map[string]string{"TOKEN_SECRET_ARN": "arn:secret", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
	getenv := func(name string) string { return values[name] }
	if _, err := build(getenv, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
	delete(values, "TOKEN_SECRET_ARN")
	if _, err := build(getenv, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "TOKEN_SECRET_ARN") {
		t.Errorf("got %v", err)
	}
}
