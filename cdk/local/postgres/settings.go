package postgres

import (
	"maps"
	"slices"
	"strconv"
)

// arguments returns the server's command line. It has the settings, rather than the data
// directory's file, so that they are always those of this version.
func (s *Server) arguments() []string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(s.config.Port),
		"unix_socket_directories": "",
		"max_connections":         "100",

		"shared_preload_libraries":           "timescaledb",
		"timescaledb.telemetry_level":        "off",
		"timescaledb.max_background_workers": "4",

		"shared_buffers": strconv.Itoa(s.config.SharedBuffersMB) + "MB",
		"jit":            "off",
		"timezone":       "UTC",
		"log_timezone":   "UTC",

		// Durable: what was committed survives a loss of power.
		"fsync":              "on",
		"full_page_writes":   "on",
		"synchronous_commit": "on",

		// A steady insert load writes about 20 MB/s of log; a checkpoint every few
		// seconds would write each hot page many times.
		"max_wal_size":                 "8GB",
		"min_wal_size":                 "1GB",
		"checkpoint_timeout":           "15min",
		"checkpoint_completion_target": "0.9",
		"wal_level":                    "minimal",
		"max_wal_senders":              "0",

		"autovacuum":                 "on",
		"log_min_duration_statement": "1000",
		"log_line_prefix":            "%m [%p] ",
	}
	if s.config.TLS {
		settings["ssl"], settings["ssl_min_protocol_version"] = "on", "TLSv1.3"
		settings["ssl_cert_file"], settings["ssl_key_file"] = certificateFile, keyFile
	}
	maps.Copy(settings, s.config.Settings)
	arguments := []string{"-D", s.config.DataDir}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		arguments = append(arguments, "-c", name+"="+settings[name])
	}
	return arguments
}
