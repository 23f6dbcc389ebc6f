package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/insighthub/insighthub/lib/rtc"
)

// generate returns the text of protocol.ts. source is the folder of lib/rtc.
func generate(source string) ([]byte, error) {
	comments, err := readComments(filepath.Join(source, "messages.go"))
	if err != nil {
		return nil, err
	}
	g := generator{comments: comments, shared: make(map[string]bool)}
	g.line("// Generated from lib/rtc by `go generate ./lib/rtc`. DO NOT EDIT.")
	g.line("// The protocol is described in docs/SIGNALING_PROTOCOL.md.")
	g.constants()
	g.codes()
	client := g.side("Client", "client", rtc.ClientMessages())
	server := g.side("Server", "server", rtc.ServerMessages())
	g.union("ClientMessage", "What a client sends.", client)
	g.union("ServerMessage", "What the service sends.", server)
	g.schema()
	g.line("")
	g.out.WriteString(functions)
	return g.out.Bytes(), nil
}

type generator struct {
	out      bytes.Buffer
	comments map[string]string
	// shared has the structs without a direction that are written.
	shared map[string]bool
}

func (g *generator) line(format string, arguments ...any) {
	fmt.Fprintf(&g.out, format+"\n", arguments...)
}

// readComments returns the comments of the structs and, as Struct.Field, of their fields.
func readComments(file string) (map[string]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("read comments: %w", err)
	}
	comments := make(map[string]string)
	for _, d := range parsed.Decls {
		group, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range group.Specs {
			named, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			comments[named.Name.Name] = oneLine(group.Doc)
			if s, ok := named.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					comments[named.Name.Name+"."+f.Names[0].Name] = oneLine(f.Doc)
				}
			}
		}
	}
	return comments, nil
}

func oneLine(doc *ast.CommentGroup) string { return strings.Join(strings.Fields(doc.Text()), " ") }

func (g *generator) constants() {
	g.line("")
	for _, c := range []struct {
		name  string
		value any
	}{
		{"protocolVersion", rtc.Version},
		{"subprotocol", rtc.Subprotocol},
		{"signalingPath", rtc.Path},
		{"maxMessageBytes", rtc.MaxMessageBytes},
		{"maxIdBytes", rtc.MaxIDBytes},
		{"maxReasonBytes", rtc.MaxReasonBytes},
		{"heartbeatSeconds", rtc.HeartbeatSeconds},
		{"helloSeconds", rtc.HelloSeconds},
		{"graceSeconds", rtc.GraceSeconds},
	} {
		if text, ok := c.value.(string); ok {
			g.line("export const %s = '%s'", c.name, text)
		} else {
			g.line("export const %s = %v", c.name, c.value)
		}
	}
	g.line("")
	g.line("export type PeerId = string")
	g.line("export type ConnectionId = string")
	g.line("export type PeerKind = '%s' | '%s'", rtc.Gateway, rtc.Person)
	g.line("export type PresenceState = '%s' | '%s' | '%s' | '%s'", rtc.StateJoined, rtc.StateLeft, rtc.StateLost, rtc.StateBack)
	g.line("/** A later version may have more reasons. */")
	g.line("export type LeaveReason = '%s' | '%s'", rtc.AccessEnded, rtc.PeerLost)
	g.line("export type Action = '%s' | '%s' | '%s'", rtc.Reconnect, rtc.Renew, rtc.Stop)
}

func (g *generator) codes() {
	g.line("")
	g.line("/** The codes of errors. A later version may have more. */")
	g.line("export type ErrorCode =")
	for _, c := range rtc.Codes() {
		g.line("  | '%s'", c.Code)
	}
	g.line("")
	g.line("/** How the service closes after an error (0: never), and what a client does then. */")
	g.line("export const closes: Readonly<Record<ErrorCode, { close: number; always: boolean; then: Action | '' }>> = {")
	for _, c := range rtc.Codes() {
		g.line("  /** %s */", sentence(c.Meaning))
		g.line("  %s: { close: %d, always: %t, then: '%s' },", c.Code, c.Close, c.Always, c.Then)
	}
	g.line("}")
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

// side writes the interfaces of the messages of one side and returns their names.
func (g *generator) side(prefix, side string, messages []rtc.Message) []string {
	names := make([]string, 0, len(messages))
	for _, m := range messages {
		t := reflect.TypeOf(m).Elem()
		g.structs(t)
		name := prefix + strings.TrimSuffix(t.Name(), "Message")
		names = append(names, name)
		g.comment("", g.comments[t.Name()])
		g.line("export interface %s {", name)
		g.line("  type: '%s'", m.Type())
		g.fields(t, side)
		g.line("}")
	}
	return names
}

// structs writes the interfaces of the structs that fields of t have.
func (g *generator) structs(t reflect.Type) {
	for field := range t.Fields() {
		f := field.Type
		for f.Kind() == reflect.Pointer || f.Kind() == reflect.Slice {
			f = f.Elem()
		}
		if f.Kind() != reflect.Struct || g.shared[f.Name()] {
			continue
		}
		g.shared[f.Name()] = true
		g.structs(f)
		g.comment("", g.comments[f.Name()])
		g.line("export interface %s {", f.Name())
		g.fields(f, "")
		g.line("}")
	}
}

func (g *generator) comment(indent, text string) {
	if indent == "" {
		g.line("")
	}
	if text != "" {
		g.line("%s/** %s */", indent, text)
	}
}

func (g *generator) fields(t reflect.Type, side string) {
	for f := range t.Fields() {
		member := rtc.DescribeMember(f, side)
		if member.Skip {
			continue
		}
		g.comment("  ", g.comments[t.Name()+"."+f.Name])
		optional := "?"
		if member.Required {
			optional = ""
		}
		g.line("  %s%s: %s", member.Name, optional, typeName(f.Type))
	}
}

// typeName returns the TypeScript type of a field.
func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.Struct {
			return typeName(t.Elem())
		}
		return typeName(t.Elem()) + " | null"
	case reflect.Slice:
		return typeName(t.Elem()) + "[]"
	case reflect.Struct:
		return t.Name()
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		switch t.Name() {
		case "PeerID":
			return "PeerId"
		case "ConnectionID":
			return "ConnectionId"
		case "Code":
			return "ErrorCode"
		case "PeerKind", "PresenceState", "LeaveReason":
			return t.Name()
		}
		return "string"
	default:
		return "number"
	}
}

func (g *generator) union(name, comment string, members []string) {
	g.comment("", comment)
	g.line("export type %s =", name)
	for _, m := range members {
		g.line("  | %s", m)
	}
}

// schema writes the table by which decodeServer checks messages.
func (g *generator) schema() {
	g.line("")
	g.line("/** The members of the service's messages: the type, with ? for optional, [] for arrays. */")
	g.line("const schema: Readonly<Record<string, Readonly<Record<string, string>>>> = {")
	written := make(map[string]bool)
	var structs []reflect.Type
	write := func(name string, t reflect.Type) {
		var members []string
		for f := range t.Fields() {
			member := rtc.DescribeMember(f, "server")
			if member.Skip {
				continue
			}
			kind := kindName(f.Type)
			if !member.Required {
				kind += "?"
			}
			members = append(members, fmt.Sprintf("%s: '%s'", member.Name, kind))
			e := f.Type
			for e.Kind() == reflect.Slice || e.Kind() == reflect.Pointer {
				e = e.Elem()
			}
			if e.Kind() == reflect.Struct && !written[e.Name()] {
				written[e.Name()] = true
				structs = append(structs, e)
			}
		}
		g.line("  %s: { %s },", name, strings.Join(members, ", "))
	}
	for _, m := range rtc.ServerMessages() {
		write(string(m.Type()), reflect.TypeOf(m).Elem())
	}
	for i := 0; i < len(structs); i++ {
		write(structs[i].Name(), structs[i])
	}
	g.line("}")
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindName(t.Elem()) + "|null"
	case reflect.Slice:
		return kindName(t.Elem()) + "[]"
	case reflect.Struct:
		return t.Name()
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	default:
		return "integer"
	}
}

const functions = `/** What a client does after a close with that code. */
export function actionAfter(closeCode: number): Action {
  for (const { close, then } of Object.values(closes)) {
    if (close === closeCode && then !== '') return then
  }
  return 'reconnect'
}

/**
 * Whether self is the polite peer towards other (perfect negotiation): a person towards a gateway; of two of one kind the one with the
 * smaller id, whose characters are ASCII.
 */
export function polite(self: { peer: PeerId; kind: PeerKind }, other: { peer: PeerId; kind: PeerKind }): boolean {
  if (self.kind !== other.kind) return self.kind === 'person'
  return self.peer < other.peer
}

/** What is wrong with a message of the service. */
export class ProtocolError extends Error {
  override name = 'ProtocolError'
}

/**
 * Decodes a message of the service. Unknown members are passed on. Returns null for a type that this version does not know, which a client
 * ignores. Throws a ProtocolError when the text is not a message.
 */
export function decodeServer(text: string): ServerMessage | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new ProtocolError('not valid JSON')
  }
  if (!isObject(value) || typeof value['type'] !== 'string') throw new ProtocolError('not an object with a member type')
  // The structs of members have capitals, messages have not.
  const type = value['type']
  if (!/^[a-z]+$/.test(type) || !Object.hasOwn(schema, type)) return null
  check(value, type, type)
  return value as unknown as ServerMessage
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function check(value: unknown, kind: string, path: string): void {
  const wrong = () => new ProtocolError(` + "`${path} is not ${kind}`" + `)
  if (kind.endsWith('|null')) {
    if (value !== null) check(value, kind.slice(0, -5), path)
  } else if (kind.endsWith('[]')) {
    if (!Array.isArray(value)) throw wrong()
    value.forEach((element: unknown, i) => { check(element, kind.slice(0, -2), ` + "`${path}[${i}]`" + `) })
  } else if (kind === 'integer') {
    if (!Number.isSafeInteger(value)) throw wrong()
  } else if (kind === 'string' || kind === 'boolean') {
    if (typeof value !== kind) throw wrong()
  } else {
    if (!isObject(value)) throw wrong()
    for (const [name, member] of Object.entries(schema[kind] ?? {})) {
      const optional = member.endsWith('?')
      if (!Object.hasOwn(value, name)) {
        if (!optional) throw new ProtocolError(` + "`${path}.${name} is missing`" + `)
      } else {
        check(value[name], optional ? member.slice(0, -1) : member, ` + "`${path}.${name}`" + `)
      }
    }
  }
}
`
