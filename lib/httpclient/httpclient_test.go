package httpclient_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/httpclient"
)

func TestNew(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.RedirectHandler("/elsewhere", http.StatusFound))
	defer server.Close()
	client := httpclient.New(time.Minute)
	response, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusFound || client.Timeout != time.Minute {
		t.Errorf("got status %d and timeout %v, want %d and 1m", response.StatusCode, client.Timeout, http.StatusFound)
	}
}
