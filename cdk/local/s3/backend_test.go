package s3

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// TestResponsesAreCopies reads the contents of an object after it was replaced: the
// response is the object that was asked for, whatever is written meanwhile.
func TestResponsesAreCopies(t *testing.T) {
	t.Parallel()
	store, err := New(Config{Dir: t.TempDir(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	const bucket, key, size = "insighthub-objects", "key", 64 << 10
	if err := store.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	put := func(fill byte) {
		t.Helper()
		contents := bytes.NewReader(bytes.Repeat([]byte{fill}, size))
		if _, err := store.backend.PutObject(bucket, key, nil, contents, size, nil); err != nil {
			t.Fatal(err)
		}
	}
	put('a')
	object, err := store.backend.GetObject(bucket, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	hash := bytes.Clone(object.Hash)
	for fill := range byte(8) {
		put(fill)
	}
	contents, err := io.ReadAll(object.Contents)
	if err != nil || !bytes.Equal(contents, bytes.Repeat([]byte{'a'}, size)) || !bytes.Equal(hash, object.Hash) {
		t.Errorf("got %d bytes, %v, other than those that were asked for", len(contents), err)
	}
}
