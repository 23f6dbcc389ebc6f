package kinesis

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"github.com/segmentio/asm/base64"

	"github.com/insighthub/insighthub/lib/jsonscan"
)

// Limits of a request, from the API reference of PutRecords.
const (
	maxPutEntries    = 500
	maxPutBytes      = 10 << 20 // data and partition keys of one PutRecords
	maxPartitionKey  = 256      // characters
	maxInternedKeys  = 4096
	serializationMsg = "The request body is not valid JSON for this operation."
)

// errSyntax is the error of JSON that has another shape than expected.
const errSyntax = jsonscan.Error("not JSON of the expected shape")

// putRequest is a decoded PutRecords or PutRecord request. It is reused: entries do not
// refer to the body.
type putRequest struct {
	stream, arn string
	entries     []PutEntry
	dryRun      bool
	missing     bool // Records was absent or null

	keys map[string]internedKey
}

// internedKey avoids hashing and allocating a partition key that is repeated.
type internedKey struct {
	key  string
	hash hashKey
}

func (p *putRequest) reset() {
	p.stream, p.arn, p.dryRun, p.missing = "", "", false, true
	clear(p.entries)
	p.entries = p.entries[:0]
	if p.keys == nil || len(p.keys) > maxInternedKeys {
		p.keys = make(map[string]internedKey)
	}
}

// decodeMany decodes the body of PutRecords.
func (p *putRequest) decodeMany(body []byte) error {
	p.reset()
	s := newScanner(body)
	err := s.Object(func(name []byte) error {
		switch string(name) {
		case "Records":
			clear(p.entries)
			p.entries = p.entries[:0]
			if p.missing = s.Null(); p.missing {
				return nil
			}
			return s.Array(func() error { return p.entry(s) })
		default:
			return p.common(s, name)
		}
	})
	return p.finish(s, err)
}

// decodeOne decodes the body of PutRecord.
func (p *putRequest) decodeOne(body []byte) error {
	p.reset()
	s := newScanner(body)
	var f entryFields
	err := s.Object(func(name []byte) error {
		if known, err := f.member(s, name); known {
			return err
		}
		return p.common(s, name)
	})
	if err == nil {
		err = p.add(&f)
	}
	p.missing = false
	return p.finish(s, err)
}

func (p *putRequest) finish(s *jsonscan.Scanner, err error) error {
	if err == nil {
		err = s.End()
	}
	if _, ok := errors.AsType[jsonscan.Error](err); ok {
		return &Error{Type: Serialization, Message: serializationMsg}
	}
	if err != nil {
		return err
	}
	return p.validate()
}

// newScanner returns a Scanner that nests as deep as encoding/json does.
func newScanner(body []byte) *jsonscan.Scanner { return &jsonscan.Scanner{Src: body, MaxDepth: 10_000} }

// optionalText reads a string, or null as nil.
func optionalText(s *jsonscan.Scanner) ([]byte, error) {
	if s.Null() {
		return nil, nil
	}
	return s.Text()
}

// common decodes the members that both operations have.
func (p *putRequest) common(s *jsonscan.Scanner, name []byte) error {
	switch string(name) {
	case "StreamName":
		v, err := optionalText(s)
		p.stream = string(v)
		return err
	case "StreamARN":
		v, err := optionalText(s)
		p.arn = string(v)
		return err
	case "DryRun":
		start := s.Pos
		err := s.Skip()
		switch string(bytes.TrimSpace(s.Src[start:s.Pos])) {
		case "true":
			p.dryRun = true
		case "false", "null":
			p.dryRun = false
		default:
			return errSyntax
		}
		return err
	default:
		return s.Skip()
	}
}

// entryFields are the members of one record, still encoded.
type entryFields struct {
	key, data, explicit          []byte
	hasKey, hasData, hasExplicit bool
}

func (f *entryFields) member(s *jsonscan.Scanner, name []byte) (known bool, err error) {
	switch string(name) {
	case "Data":
		if s.Null() {
			f.data, f.hasData = nil, false
			return true, nil
		}
		f.data, err = s.Base64()
		f.hasData = true
	case "PartitionKey":
		f.key, err = optionalText(s)
		f.hasKey = f.key != nil
	case "ExplicitHashKey":
		f.explicit, err = optionalText(s)
		f.hasExplicit = f.explicit != nil
	default:
		return false, nil
	}
	return true, err
}

func (p *putRequest) entry(s *jsonscan.Scanner) error {
	var f entryFields
	err := s.Object(func(name []byte) error {
		if known, err := f.member(s, name); known {
			return err
		}
		return s.Skip()
	})
	if err != nil {
		return err
	}
	return p.add(&f)
}

// add decodes one record into memory of its own.
func (p *putRequest) add(f *entryFields) error {
	switch {
	case !f.hasData:
		return invalid("null", "data", "Member must not be null")
	case !f.hasKey:
		return invalid("null", "partitionKey", "Member must not be null")
	case len(f.key) == 0:
		return invalid("", "partitionKey", "Member must have length greater than or equal to 1")
	case len(f.key) > maxPartitionKey && utf8.RuneCount(f.key) > maxPartitionKey:
		return invalid(string(f.key), "partitionKey", "Member must have length less than or equal to 256")
	case len(p.entries) == maxPutEntries:
		return invalid("[...]", "records", "Member must have length less than or equal to 500")
	}
	k, ok := p.keys[string(f.key)]
	if !ok {
		key := string(f.key)
		k = internedKey{key, hashOf(key)}
		p.keys[key] = k
	}
	e := PutEntry{PartitionKey: k.key, hash: k.hash}
	if f.hasExplicit {
		h, ok := parseHashKey(string(f.explicit))
		if !ok {
			return errorf(InvalidArgument, "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. "+
				"Specified value was %.64s", f.explicit)
		}
		e.hash = h
	}
	e.Data = make([]byte, base64.StdEncoding.DecodedLen(len(f.data)))
	n, err := base64.StdEncoding.Decode(e.Data, f.data)
	if err != nil || n != decodedLen(f.data) {
		return errSyntax
	}
	e.Data = e.Data[:n]
	p.entries = append(p.entries, e)
	return nil
}

// decodedLen returns the decoded length of b if it is base64 without line ends. Decoders
// skip them, but JSON does not allow them in a string.
func decodedLen(b []byte) int {
	n := len(b) / 4 * 3
	for i := len(b) - 1; i >= 0 && i >= len(b)-2 && b[i] == '='; i-- {
		n--
	}
	return n
}

func (p *putRequest) validate() error {
	if p.missing {
		return invalid("null", "records", "Member must not be null")
	}
	if len(p.entries) == 0 {
		return invalid("[]", "records", "Member must have length greater than or equal to 1")
	}
	total := 0
	for i := range p.entries {
		total += len(p.entries[i].Data) + len(p.entries[i].PartitionKey)
	}
	if total > maxPutBytes {
		return errorf(InvalidArgument, "Records size exceeds 10 MB limit")
	}
	return nil
}
