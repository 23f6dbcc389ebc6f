package telemetry

// maxInternedNames bounds the intern table between batches. It is more names than a fleet
// has, so that only invented names can fill it.
const maxInternedNames = 1 << 15

// internTable caches the string of each valid name, so that the names of a fleet are
// allocated and validated once.
type internTable struct {
	byText map[string]*internedName
	batch  uint64 // the current one, from 1
}

type internedName struct {
	text string
	// The last batch that had the name in its dictionary of devices, of metrics.
	device, metric uint64
}

// begin starts a batch.
func (t *internTable) begin() {
	t.batch++
	if t.byText == nil || len(t.byText) > maxInternedNames {
		t.byText = make(map[string]*internedName)
	}
}

// intern returns text's entry, or why it is not a name.
func (t *internTable) intern(text []byte) (*internedName, error) {
	if name, ok := t.byText[string(text)]; ok {
		return name, nil
	}
	name := &internedName{text: string(text)}
	if err := ValidName(name.text); err != nil {
		return nil, err
	}
	t.byText[name.text] = name
	return name, nil
}
