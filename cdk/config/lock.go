package config

// LockMode says who may shorten the time for which an object is kept (S3 Object Lock).
type LockMode string

// The modes of a lock.
const (
	// Governance keeps an object from all but those with s3:BypassGovernanceRetention.
	Governance LockMode = "governance"
	// Compliance keeps it from everybody, the account's root included, and can not be
	// taken back: a bucket with such an object can be deleted when the time is over.
	Compliance LockMode = "compliance"
)

// Lock is for how long what the audit writes can neither be changed nor deleted.
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
