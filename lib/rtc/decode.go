package rtc

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/jsonscan"
)

// DecodeClient decodes a message of a client; the result is one of ClientMessages, not a
// pointer. The error is an *Error, with Re if the message's id could be read.
func DecodeClient(raw []byte) (Message, error) { return decode(raw, clientSide) }

// DecodeServer decodes a message of the service; the result is one of ServerMessages, not a
// pointer. The error is an *Error.
func DecodeServer(raw []byte) (Message, error) { return decode(raw, serverSide) }

// side is who sends a message, as the tag from has it.
type side string

const (
	clientSide side = "client"
	serverSide side = "server"
)

func decode(raw []byte, from side) (Message, error) {
	if len(raw) > MaxMessageBytes {
		return nil, Errorf(MessageTooBig, "the message has %d bytes, at most %d are allowed", len(raw), MaxMessageBytes)
	}
	if !utf8.Valid(raw) {
		return nil, Errorf(InvalidUTF8, "the message is not valid UTF-8")
	}
	d := decoder{from: from, scanner: jsonscan.Scanner{Src: raw}}
	all, err := d.members("")
	if err == nil && d.scanner.End() != nil {
		err = Errorf(InvalidMessage, "more text follows the object at byte %d", d.scanner.Pos)
	}
	if err != nil {
		return nil, err
	}
	re := ""
	if at, ok := find(all, "id"); ok && from == clientSide {
		if re, err = d.text(at, "id"); err != nil {
			return nil, err
		}
		if len(re) > MaxIDBytes {
			return nil, Errorf(InvalidMessage, `member "id" has %d bytes, at most %d are allowed`, len(re), MaxIDBytes)
		}
	}
	m, err := d.message(all)
	if err != nil {
		err.Re = re
		return nil, err
	}
	return m, nil
}

// member is a member of an object: its name and where its value is.
type member struct {
	name string
	at   int
}

func find(all []member, name string) (int, bool) {
	for _, m := range all {
		if m.name == name {
			return m.at, true
		}
	}
	return 0, false
}

type decoder struct {
	from    side
	scanner jsonscan.Scanner
}

// members reads the object at the scanner; where names it in errors, "" for the message.
func (d *decoder) members(where string) ([]member, *Error) {
	s := &d.scanner
	if s.Peek() != '{' {
		if where == "" {
			return nil, Errorf(InvalidMessage, "a message is a JSON object")
		}
		return nil, Errorf(InvalidMessage, "member %q must be an object", where)
	}
	all := make([]member, 0, 12)
	var fault *Error
	err := s.Object(func(name []byte) error {
		if len(all) == MaxMembers {
			fault = Errorf(InvalidMessage, "an object has more than %d members", MaxMembers)
			return fault
		}
		if slices.ContainsFunc(all, func(m member) bool { return m.name == string(name) }) {
			fault = Errorf(InvalidMessage, "member %s is repeated", quote(string(name)))
			return fault
		}
		s.Peek() // to the value
		all = append(all, member{string(name), s.Pos})
		return s.Skip()
	})
	if fault != nil {
		return nil, fault
	}
	if err != nil {
		return nil, Errorf(InvalidMessage, "not valid JSON at byte %d: %v", s.Pos, err)
	}
	return all, nil
}

// message decodes the members of a message.
func (d *decoder) message(all []member) (Message, *Error) {
	at, ok := find(all, "type")
	if !ok {
		return nil, Errorf(InvalidMessage, `member "type" is missing`)
	}
	name, err := d.text(at, "type")
	if err != nil {
		return nil, err
	}
	known := clientTypes
	if d.from == serverSide {
		known = serverTypes
	}
	t := known()[Type(name)]
	if t == nil {
		return nil, Errorf(UnknownType, "type %s is not one that a %s may send", quote(name), d.from)
	}
	v := reflect.New(t).Elem()
	if err := d.object(v, all, ""); err != nil {
		return nil, err
	}
	m := v.Interface().(Message) // its methods have value receivers
	if err := check(m, d.from); err != nil {
		return nil, err
	}
	return m, nil
}

//nolint:gochecknoglobals // the structs of the messages of each side, made once
var (
	clientTypes = sync.OnceValue(func() map[Type]reflect.Type { return structsOf(ClientMessages()) })
	serverTypes = sync.OnceValue(func() map[Type]reflect.Type { return structsOf(ServerMessages()) })
)

func structsOf(messages []Message) map[Type]reflect.Type {
	out := make(map[Type]reflect.Type, len(messages))
	for _, m := range messages {
		out[m.Type()] = reflect.TypeOf(m).Elem()
	}
	return out
}

// object decodes members into the struct v.
func (d *decoder) object(v reflect.Value, all []member, where string) *Error {
	t := v.Type()
	for i := range t.NumField() {
		described := DescribeMember(t.Field(i), string(d.from))
		if described.Skip {
			continue
		}
		path := where + described.Name
		at, ok := find(all, described.Name)
		if !ok {
			if described.Required {
				return Errorf(InvalidMessage, "member %q is missing", path)
			}
			continue
		}
		if err := d.value(v.Field(i), at, path); err != nil {
			return err
		}
		if described.Name == "seq" && v.Field(i).IsZero() {
			return Errorf(InvalidMessage, `member "seq" must be an integer from 1`)
		}
	}
	return nil
}

// MemberInfo describes a member of a message.
type MemberInfo struct {
	Name string
	// Skip says that only the other side sends it.
	Skip     bool
	Required bool
}

// DescribeMember returns what the tags of a field say, for messages that come from the side
// "client" or "server".
func DescribeMember(f reflect.StructField, from string) MemberInfo {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	who, must, _ := strings.Cut(f.Tag.Get("from"), ",")
	return MemberInfo{
		Name: name, Skip: who != "" && who != from,
		Required: must == "required" || options != "omitempty",
	}
}

// value decodes the value at the offset into v.
func (d *decoder) value(v reflect.Value, at int, path string) *Error {
	d.scanner.Pos = at
	switch v.Kind() {
	case reflect.Pointer:
		// Browsers write null for members of RTCIceCandidateInit that they do not know.
		if d.scanner.Null() {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return d.value(v.Elem(), at, path)
	case reflect.String:
		text, err := d.text(at, path)
		if err != nil {
			return err
		}
		v.SetString(text)
		return nil
	case reflect.Bool:
		word := d.scanner.Src[at:]
		switch {
		case bytes.HasPrefix(word, []byte("true")):
			v.SetBool(true)
		case !bytes.HasPrefix(word, []byte("false")):
			return Errorf(InvalidMessage, "member %q must be true or false", path)
		}
		return nil
	case reflect.Int, reflect.Int64, reflect.Uint16:
		return d.integer(v, path)
	case reflect.Struct:
		all, err := d.members(path)
		if err != nil {
			return err
		}
		return d.object(v, all, path+".")
	default:
		return d.slice(v, path)
	}
}

func (d *decoder) integer(v reflect.Value, path string) *Error {
	highest := int64(jsonscan.MaxExact)
	if v.Kind() == reflect.Uint16 {
		highest = math.MaxUint16
	}
	fault := Errorf(InvalidMessage, "member %q must be an integer from 0 to %d", path, highest)
	if c := d.scanner.Peek(); !jsonscan.IsDigit(c) {
		return fault
	}
	text, err := d.scanner.Number()
	if err != nil {
		return fault
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n > highest {
		return fault
	}
	if v.CanUint() {
		v.SetUint(uint64(n))
	} else {
		v.SetInt(n)
	}
	return nil
}

func (d *decoder) slice(v reflect.Value, path string) *Error {
	if d.scanner.Peek() != '[' {
		return Errorf(InvalidMessage, "member %q must be an array", path)
	}
	out := reflect.MakeSlice(v.Type(), 0, 4)
	var fault *Error
	err := d.scanner.Array(func() error {
		d.scanner.Peek() // to the value
		at := d.scanner.Pos
		element := reflect.New(v.Type().Elem()).Elem()
		if fault = d.value(element, at, path); fault != nil {
			return fault
		}
		out = reflect.Append(out, element)
		d.scanner.Pos = at
		return d.scanner.Skip()
	})
	if fault == nil && err != nil {
		fault = Errorf(InvalidMessage, "member %q is not a valid array", path)
	}
	v.Set(out)
	return fault
}

// text decodes the string at the offset.
func (d *decoder) text(at int, path string) (string, *Error) {
	d.scanner.Pos = at
	if d.scanner.Peek() != '"' {
		return "", Errorf(InvalidMessage, "member %q must be a string", path)
	}
	text, err := d.scanner.Text()
	if err != nil {
		return "", Errorf(InvalidMessage, "member %q is not a valid string", path)
	}
	if unpaired(d.scanner.Src[at+1 : d.scanner.Pos-1]) {
		return "", Errorf(InvalidMessage, "member %q has half of a surrogate pair", path)
	}
	return string(text), nil
}

// unpaired reports whether a string's raw text has an escaped surrogate without its other
// half: decoders differ in what they make of it.
func unpaired(raw []byte) bool {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			i++
			continue
		}
		r, next := jsonscan.Escape(raw, i)
		if r >= 0xd800 && r <= 0xdfff {
			return true
		}
		i = next
	}
	return false
}

// quote returns a short form of a client's text for an error.
func quote(s string) string {
	const longest = 40
	if len(s) > longest {
		cut := longest
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		return strconv.QuoteToASCII(s[:cut]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
