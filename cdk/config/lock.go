package config

// LockMode is the retention mode of S3 Object Lock.
type LockMode string

// The retention modes.
const (
	// Governance protects an object from all callers without
	// s3:BypassGovernanceRetention.
	Governance LockMode = "governance"
	// Compliance protects it from every caller, the account's root included, and cannot
	// be revoked: the bucket can only be deleted after the retention of its objects.
	Compliance LockMode = "compliance"
)

// Lock is the time for which no object that the self-check writes can be changed or
// deleted.
type Lock struct {
	Mode LockMode
	Days int
}

func (l Lock) problems() (p problems) {
	const most = 3653
	p.expect(oneOf(l.Mode, Governance, Compliance), "lock %q: want governance or compliance", l.Mode)
	p.expect(l.Days >= 1 && l.Days <= most, "lock of %d days: want 1 to %d", l.Days, most)
	return p
}
