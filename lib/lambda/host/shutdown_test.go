package host

import (
	"context"
	"slices"
	"testing"
)

// TestShutdownOrder: the senders run at once, for each of these waits for the other, and
// the function is closed after both.
func TestShutdownOrder(t *testing.T) {
	t.Parallel()
	first, second := make(chan struct{}), make(chan struct{})
	done := make(chan string, 3)
	shutdown(t.Context(), func() { done <- "close" },
		func(context.Context) { close(first); <-second; done <- "send" },
		nil,
		func(context.Context) { <-first; close(second); done <- "send" })
	got := []string{<-done, <-done, <-done}
	if want := []string{"send", "send", "close"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	shutdown(t.Context(), nil, nil, nil)
}
