// Package atomicfile replaces a file in one step: a reader, also one after a crash,
// finds the old content or the new, never a part.
package atomicfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Write replaces the file at path by what write writes. The file and, if it is
// missing, its folder are readable by their owner only: the files hold secrets. If
// write fails, the old file stays, and the error wraps write's.
func Write(path string, write func(w io.Writer) error) error {
	if err := replace(path, write); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// WriteJSON replaces the file at path by the indented JSON of document.
func WriteJSON(path string, document any) error {
	return Write(path, func(w io.Writer) error {
		data, err := json.MarshalIndent(document, "", "  ")
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
}

func replace(path string, write func(w io.Writer) error) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	// In the same folder, since a rename does not cross file systems; with mode 0600.
	file, err := os.CreateTemp(folder, filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	err = errors.Join(write(file), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return syncFolder(folder)
}

// syncFolder makes the rename durable.
func syncFolder(path string) error {
	folder, err := os.Open(path) //nolint:gosec // the caller's folder
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
