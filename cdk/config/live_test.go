package config_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/config"
)

// TestLiveProblems: each setting of the live path that AWS or a server would reject is found
// before the synthesis, and named.
func TestLiveProblems(t *testing.T) {
	for want, change := range map[string]func(*config.Live){
		`domain "" and hosted zone "Z1"`:          func(l *config.Live) { l.HostedZoneID = "Z1" },
		`domain "live"`:                           func(l *config.Live) { l.Domain, l.HostedZoneID = "live", "Z1" },
		`domain "Live.example.com"`:               func(l *config.Live) { l.Domain, l.HostedZoneID = "Live.example.com", "Z1" },
		`hosted zone "example.com"`:               func(l *config.Live) { l.Domain, l.HostedZoneID = "live.example.com", "example.com" },
		`origin "http://console.example.com"`:     func(l *config.Live) { l.Origins = []string{"http://console.example.com"} },
		`origin "https://a.example/b"`:            func(l *config.Live) { l.Origins = []string{"https://a.example/b"} },
		`CIDR "10.0.0.0/8"`:                       func(l *config.Live) { l.CIDR = "10.0.0.0/8" },
		"300 CPU units":                           func(l *config.Live) { l.Signaling.CPU = 300 },
		"memory of 512 MB with 1024 CPU units":    func(l *config.Live) { l.Turn.CPU = 1024 },
		"3 to 2 tasks":                            func(l *config.Live) { l.Signaling.MinTasks = 3 },
		"memory of 512 MB for 20000 connections":  func(l *config.Live) { l.Signaling.Connections = 20000 },
		"up to 2 signaling tasks without Valkey":  func(l *config.Live) { l.Valkey = config.Valkey{} },
		"1 nodes of type \"\"":                    func(l *config.Live) { l.Valkey.NodeType = "" },
		"want no settings of TURN servers":        func(l *config.Live) { l.Turn.Tasks = 0 },
		"quotas of 600 relays for each user":      func(l *config.Live) { l.Turn.UserQuota = 600 },
		"quotas of 50 relays for each user and 9": func(l *config.Live) { l.Turn.TotalQuota = 99999 },
		"1000 bytes/s":                            func(l *config.Live) { l.Turn.SessionBytes = 1000 },
		"stale nonce 0s":                          func(l *config.Live) { l.Turn.StaleNonce = 0 },
		"want whole seconds":                      func(l *config.Live) { l.Turn.StaleNonce = 90500 * time.Millisecond },
	} {
		s := config.Stages()[0]
		change(&s.Live)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	s := config.Stages()[0]
	s.Live.Turn, s.Live.Valkey, s.Live.Signaling.MaxTasks = config.Turn{}, config.Valkey{}, 1
	if err := s.Validate(); err != nil || s.HasTurn() {
		t.Errorf("one task alone: %v", err)
	}
}

// TestLiveNetworks: no two networks of all stages overlap, so that they could be peered.
func TestLiveNetworks(t *testing.T) {
	var all []netip.Prefix
	for _, s := range config.Stages() {
		for _, cidr := range []string{s.Network.CIDR, s.Live.CIDR} {
			prefix := netip.MustParsePrefix(cidr)
			for _, other := range all {
				if prefix.Overlaps(other) {
					t.Errorf("%s: %v overlaps with %v", s.Name, prefix, other)
				}
			}
			all = append(all, prefix)
		}
	}
}

// TestClosedPeers: the ranges hold the addresses that a peer must never reach, and none of the
// internet's.
func TestClosedPeers(t *testing.T) {
	closed := func(address string) bool {
		for _, p := range config.ClosedPeers() {
			if p.Contains(netip.MustParseAddr(address)) {
				return true
			}
		}
		return false
	}
	for _, s := range config.Stages() {
		for _, cidr := range []string{s.Network.CIDR, s.Live.CIDR} {
			if a := netip.MustParsePrefix(cidr).Addr(); !closed(a.String()) {
				t.Errorf("%s: the network %v is open", s.Name, a)
			}
		}
	}
	for address, want := range map[string]bool{
		"169.254.169.254": true, "169.254.170.2": true, "fd00:ec2::254": true, "127.0.0.1": true, "::1": true, "100.64.0.1": true,
		"172.31.255.255": true, "255.255.255.255": true, "224.0.0.1": true, "ff02::1": true, "fe80::1": true,
		"8.8.8.8": false, "2001:4860:4860::8888": false, "172.32.0.1": false, "100.128.0.1": false,
	} {
		if closed(address) != want {
			t.Errorf("%s: closed %t, want %t", address, !want, want)
		}
	}
}
