package judge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// Window is a labelled stretch of a series, by its first and last row.
type Window struct{ First, Last int }

// NABFile is one series of the benchmark with its labels.
type NABFile struct {
	// Path is relative to the corpus's data folder.
	Path string
	Series
	Windows []Window
}

// Category is the directory of the file.
func (f NABFile) Category() string { return path.Dir(f.Path) }

// LoadNAB reads the files below data, in the order of their paths, and their windows from
// combined_windows.json or labels/combined_windows.json. Windows of missing files are
// ignored.
func LoadNAB(fsys fs.FS) ([]NABFile, error) {
	windows, err := readWindows(fsys)
	if err != nil {
		return nil, err
	}
	data, err := fs.Sub(fsys, "data")
	if err != nil {
		return nil, err
	}
	var files []NABFile
	err = fs.WalkDir(data, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".csv" {
			return err
		}
		file := NABFile{Path: name}
		if file.Series, err = readSeriesFile(data, name); err != nil {
			return err
		}
		for _, limits := range windows[name] {
			window, err := place(file.Micros, limits)
			if err != nil {
				return fmt.Errorf("windows of %s: %w", name, err)
			}
			file.Windows = append(file.Windows, window)
		}
		files = append(files, file)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: no .csv file below data", ErrForm)
	}
	return files, nil
}

func readWindows(fsys fs.FS) (map[string][][2]string, error) {
	data, err := fs.ReadFile(fsys, "combined_windows.json")
	if errors.Is(err, fs.ErrNotExist) {
		data, err = fs.ReadFile(fsys, "labels/combined_windows.json")
	}
	if err != nil {
		return nil, err
	}
	var windows map[string][][2]string
	if err := json.Unmarshal(data, &windows); err != nil {
		return nil, fmt.Errorf("combined_windows.json: %w: %w", ErrForm, err)
	}
	return windows, nil
}

// place returns the rows of a window's limits. Like the benchmark it uses the first row of
// a timestamp.
func place(micros []int64, limits [2]string) (Window, error) {
	var at [2]int
	for i, text := range limits {
		want, err := parseStamp(text)
		if err != nil {
			return Window{}, err
		}
		at[i] = slices.Index(micros, want)
		if at[i] < 0 {
			return Window{}, fmt.Errorf("%w: no row at %s", ErrForm, text)
		}
	}
	if at[1] < at[0] {
		return Window{}, fmt.Errorf("%w: window from %s to %s ends before it starts", ErrForm, limits[0], limits[1])
	}
	return Window{First: at[0], Last: at[1]}, nil
}
