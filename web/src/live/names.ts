import { LiveError } from './error.ts'

const maxNameBytes = 128
const maxInterned = 1 << 15

/** The string of a name, and the last record that has it in its dictionary of devices, of metrics. */
export interface Name {
  readonly text: string
  readonly bytes: Uint8Array
  device: number
  metric: number
}

/** Returns one string for each name, so that the names of a fleet are decoded and checked once. */
export class NameTable {
  #byHash = new Map<number, Name[]>()
  #size = 0
  record = 0

  /** Starts a record. */
  begin(): void {
    this.record++
    if (this.#size > maxInterned) {
      this.#byHash = new Map()
      this.#size = 0
    }
  }

  /** Returns the name, or why bytes are none. */
  intern(bytes: Uint8Array): Name | string {
    const hash = fnv(bytes)
    const bucket = this.#byHash.get(hash)
    if (bucket !== undefined) {
      for (const name of bucket) if (equal(name.bytes, bytes)) return name
    }
    if (bytes.length === 0) return `want 1 to ${maxNameBytes} bytes, have 0`
    const text = textOf(bytes, maxNameBytes)
    if (typeof text !== 'string') return text.reason
    const name = { text, bytes: bytes.slice(), device: 0, metric: 0 }
    if (bucket === undefined) this.#byHash.set(hash, [name])
    else bucket.push(name)
    this.#size++
    return name
  }
}

// ignoreBOM: a mark at the start is part of the text, as in Go.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const control = /[\u0000-\u001f\u007f-\u009f]/

/** Returns the text of bytes: UTF-8 of at most maxBytes without control characters; or why it is not. */
export function textOf(bytes: Uint8Array, maxBytes: number): string | { reason: string } {
  if (bytes.length > maxBytes) return { reason: `want at most ${maxBytes} bytes, have ${bytes.length}` }
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    return { reason: 'not UTF-8' }
  }
  const found = control.exec(text)
  if (found === null) return text
  const code = found[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')
  return { reason: `control character U+${code}` }
}

/** As textOf, but throws. */
export function mustText(what: string, bytes: Uint8Array, maxBytes: number): string {
  const text = textOf(bytes, maxBytes)
  if (typeof text === 'string') return text
  throw new LiveError('record', `record: ${what}: ${text.reason}`)
}

function fnv(bytes: Uint8Array): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return hash
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
