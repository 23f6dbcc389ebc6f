import { ShareError, type ShareCode, codes } from './error.ts'

// The messages of the channel "share" between two people. Each is a JSON object of at most maxText characters with a
// member type; unknown types and members are skipped, so that a later version can add some.

/** The channels, which both sides create with these ids. */
export const channels = { share: { id: 0, label: 'share' }, files: { id: 1, label: 'files' } } as const

/** What a person can show. */
export type MediaKind = 'camera' | 'microphone' | 'screen'

/** The picture of the sender or of the receiver of the message. */
export interface Picture {
  owner: 'sender' | 'receiver'
  kind: 'camera' | 'screen'
}

/** From the top left corner of the picture, each 0 to 1. */
export type Point = [x: number, y: number]

export type ShareMessage =
  | { type: 'media'; tracks: { mid: string; kind: MediaKind; muted: boolean }[] }
  | { type: 'chat'; text: string; sent_ms: number }
  /** A line on a picture; the same id again goes on with it. */
  | { type: 'stroke'; id: number; on: Picture; color: string; points: Point[] }
  | { type: 'clear'; on: Picture }
  /** Offers a file. key is the same when it is offered again, after the connection was lost. */
  | { type: 'file'; id: number; key: string; name: string; size: number; mime: string }
  /** The receiver has the file up to offset already. */
  | { type: 'file_accept'; id: number; offset: number }
  /** The receiver has stored the file up to offset. */
  | { type: 'file_stored'; id: number; offset: number }
  /** The receiver has the whole file, and its checksum is right. */
  | { type: 'file_done'; id: number }
  /** Ends a transfer; by: who offered the file, sender or receiver of this message. */
  | { type: 'file_cancel'; id: number; by: 'sender' | 'receiver'; code: ShareCode; message: string }
  | { type: 'error'; code: ShareCode; message: string }

export const limits = {
  /** Characters of a message; the longest are strokes. */
  text: 32_768,
  chat: 4_000,
  name: 255,
  points: 512,
  tracks: 8,
} as const

type Raw = Record<string, unknown>

/** Returns undefined for a type of a later version. Throws a ShareError that says what is wrong. */
export function decode(data: unknown): ShareMessage | undefined {
  if (typeof data !== 'string') throw new ShareError('invalid_message', 'the message is not text')
  if (data.length > limits.text) throw new ShareError('message_too_big', `the message has ${data.length} characters, at most ${limits.text} are accepted`)
  let raw: unknown
  try {
    raw = JSON.parse(data)
  } catch {
    throw invalid('the message is not valid JSON')
  }
  const m = object(raw, 'the message')
  const type = text(m, 'type', 64)
  return Object.hasOwn(decoders, type) ? { type, ...decoders[type as ShareMessage['type']](m) } as ShareMessage : undefined
}

const decoders: { [T in ShareMessage['type']]: (m: Raw) => Omit<ShareMessage & { type: T }, 'type'> } = {
  media: (m) => ({
    tracks: list(m, 'tracks', limits.tracks).map((track) => {
      const t = object(track, 'a track')
      return { mid: text(t, 'mid', 16), kind: oneOf(t, 'kind', ['camera', 'microphone', 'screen']), muted: t['muted'] === true }
    }),
  }),
  chat: (m) => ({ text: text(m, 'text', limits.chat), sent_ms: whole(m, 'sent_ms') }),
  stroke: (m) => {
    const color = text(m, 'color', 7)
    if (!/^#[0-9a-f]{6}$/.test(color)) throw invalid('member "color" is not a colour such as #ff0000')
    return { id: whole(m, 'id'), on: picture(m), color, points: list(m, 'points', limits.points).map(point) }
  },
  clear: (m) => ({ on: picture(m) }),
  file: (m) => {
    const key = text(m, 'key', 32)
    if (!/^[0-9a-f]{32}$/.test(key)) throw invalid('member "key" is not 32 hexadecimal digits')
    return { id: whole(m, 'id', 2 ** 32 - 1), key, name: fileName(text(m, 'name', limits.name)), size: whole(m, 'size'), mime: mediaType(text(m, 'mime', 128)) }
  },
  file_accept: (m) => ({ id: whole(m, 'id', 2 ** 32 - 1), offset: whole(m, 'offset') }),
  file_stored: (m) => ({ id: whole(m, 'id', 2 ** 32 - 1), offset: whole(m, 'offset') }),
  file_done: (m) => ({ id: whole(m, 'id', 2 ** 32 - 1) }),
  file_cancel: (m) => ({ id: whole(m, 'id', 2 ** 32 - 1), by: oneOf(m, 'by', ['sender', 'receiver']), code: oneOf(m, 'code', codes), message: text(m, 'message', 256) }),
  error: (m) => ({ code: oneOf(m, 'code', codes), message: text(m, 'message', 256) }),
}

/**
 * A name to show and to save as: without the folders, and without characters that change how the rest is read (controls,
 * directions of writing, invisible ones).
 */
export function fileName(name: string): string {
  const base = name.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, '').split(/[/\\]/).at(-1)!.replaceAll(/[<>:"|?*]/g, '_').trim().replace(/^\.+/, '')
  return base === '' ? 'file' : base
}

/** The type of a received file is what its sender says: it is only saved, never opened as a page. */
function mediaType(mime: string): string {
  return /^[\w.+-]+\/[\w.+-]+$/.test(mime) ? mime : 'application/octet-stream'
}

function picture(m: Raw): Picture {
  const on = object(m['on'], 'member "on"')
  return { owner: oneOf(on, 'owner', ['sender', 'receiver']), kind: oneOf(on, 'kind', ['camera', 'screen']) }
}

function point(value: unknown): Point {
  if (!Array.isArray(value) || value.length !== 2 || !value.every((v) => typeof v === 'number' && v >= 0 && v <= 1)) {
    throw invalid('a point is not two numbers from 0 to 1')
  }
  return value as Point
}

function object(value: unknown, what: string): Raw {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`${what} is not an object`)
  return value as Raw
}

function list(m: Raw, name: string, most: number): unknown[] {
  const value = m[name]
  if (!Array.isArray(value) || value.length > most) throw invalid(`member "${name}" is not a list of at most ${most}`)
  return value
}

function text(m: Raw, name: string, most: number): string {
  const value = m[name]
  if (typeof value !== 'string' || value.length > most) throw invalid(`member "${name}" is not a string of at most ${most} characters`)
  return value
}

function whole(m: Raw, name: string, most = Number.MAX_SAFE_INTEGER): number {
  const value = m[name]
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > most) throw invalid(`member "${name}" is not a whole number from 0 to ${most}`)
  return value
}

function oneOf<const T extends string>(m: Raw, name: string, values: readonly T[]): T {
  const value = m[name] as T
  if (!values.includes(value)) throw invalid(`member "${name}" is none of ${values.join(', ')}`)
  return value
}

function invalid(message: string): ShareError {
  return new ShareError('invalid_message', message)
}
