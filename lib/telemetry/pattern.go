package telemetry

import "strings"

// Matches reports whether pattern, in which * matches any text, also none, matches all of
// name.
func Matches[S ~string](pattern string, name S) bool {
	first, rest, star := strings.Cut(pattern, "*")
	s := string(name)
	if !star {
		return pattern == s
	}
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], after
	}
}

// DevicePattern selects devices by the names of their gateway and of themselves.
type DevicePattern struct {
	Gateway, Device string
	// Exact says that both are names. Otherwise they are patterns, see Matches.
	Exact bool
}

// Matches reports whether the device is selected.
func (p *DevicePattern) Matches(gateway GatewayID, device DeviceName) bool {
	if p.Exact {
		return p.Gateway == string(gateway) && p.Device == string(device)
	}
	return Matches(p.Gateway, gateway) && Matches(p.Device, device)
}

// One reports whether at most one device matches.
func (p *DevicePattern) One() bool {
	return p.Exact || !strings.Contains(p.Gateway, "*") && !strings.Contains(p.Device, "*")
}
