import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { codes, ShareError } from './error.ts'
import { decode, fileName, limits, type ShareMessage } from './messages.ts'

const on = { owner: 'sender', kind: 'screen' } as const
const valid: ShareMessage[] = [
  { type: 'media', tracks: [{ mid: '0', kind: 'camera', muted: false }, { mid: '1', kind: 'microphone', muted: true }] },
  { type: 'chat', text: '<b>hello</b>', sent_ms: 1_700_000_000_000 },
  { type: 'stroke', id: 1, on, color: '#ff0000', points: [[0, 0], [1, 0.5]] },
  { type: 'clear', on },
  { type: 'file', id: 4_294_967_295, key: '0123456789abcdef0123456789abcdef', name: 'a.txt', size: 0, mime: 'text/plain' },
  { type: 'file_accept', id: 0, offset: 9_007_199_254_740_991 },
  { type: 'file_stored', id: 1, offset: 2 },
  { type: 'file_done', id: 1 },
  { type: 'file_cancel', id: 1, by: 'receiver', code: 'rejected', message: 'no' },
  { type: 'error', code: 'invalid_message', message: 'x' },
]

function code(data: unknown): string {
  try {
    return decode(data) === undefined ? 'skipped' : 'accepted'
  } catch (cause) {
    if (cause instanceof ShareError) return cause.code
    throw cause
  }
}

describe('decode', () => {
  test.each(valid)('accepts $type', (message) => {
    expect(decode(JSON.stringify({ ...message, later: [1] }))).toEqual(message)
  })

  test('skips types of a later version', () => {
    for (const type of ['later', 'constructor', '__proto__', 'toString']) expect(code(JSON.stringify({ type }))).toBe('skipped')
  })

  test('rejects what is not a message', () => {
    const bad: unknown[] = [
      '', '{', 'null', '[]', '1', '"text"', '{}', '{"type":1}', new ArrayBuffer(3), undefined,
      ...[
        { type: 'chat', text: 1, sent_ms: 1 }, { type: 'chat', text: 'x'.repeat(limits.chat + 1), sent_ms: 1 }, { type: 'chat', text: 'x' },
        { type: 'stroke', id: -1, on, color: '#ff0000', points: [] }, { type: 'stroke', id: 1.5, on, color: '#ff0000', points: [] },
        { type: 'stroke', id: 1, on, color: 'red;}', points: [] }, { type: 'stroke', id: 1, on, color: '#ff0000', points: [[0, 1.01]] },
        { type: 'stroke', id: 1, on, color: '#ff0000', points: [[0, null]] }, { type: 'stroke', id: 1, on, color: '#ff0000', points: [[0]] },
        { type: 'stroke', id: 1, on: { owner: 'me', kind: 'screen' }, color: '#ff0000', points: [] },
        { type: 'stroke', id: 1, on, color: '#ff0000', points: Array.from({ length: limits.points + 1 }, () => [0, 0]) },
        { type: 'clear' }, { type: 'media', tracks: {} }, { type: 'media', tracks: [{ mid: 0, kind: 'camera' }] },
        { type: 'media', tracks: [{ mid: '0', kind: 'window' }] }, { type: 'media', tracks: Array.from({ length: 9 }, () => ({ mid: '0', kind: 'camera' })) },
        { type: 'file', id: 1, key: 'short', name: 'x', size: 1, mime: '' }, { type: 'file', id: 2 ** 32, key: '0'.repeat(32), name: 'x', size: 1, mime: '' },
        { type: 'file', id: 1, key: '0'.repeat(32), name: 'x'.repeat(256), size: 1, mime: '' }, { type: 'file', id: 1, key: '0'.repeat(32), name: 'x', size: 1e300, mime: '' },
        { type: 'file_accept', id: 1, offset: -1 }, { type: 'file_stored', id: 1 }, { type: 'file_done' }, { type: 'file_cancel', id: 1, by: 'nobody', code: 'rejected', message: '' },
        { type: 'file_cancel', id: 1, by: 'sender', code: 'later', message: '' }, { type: 'error', code: 'rejected', message: 'x'.repeat(257) },
      ].map((m) => JSON.stringify(m)),
    ]
    for (const data of bad) expect(code(data), String(data).slice(0, 100)).toBe('invalid_message')
    expect(code(`{"type":"chat","text":"${'x'.repeat(40_000)}"`)).toBe('message_too_big')
  })

  test('never throws anything but a ShareError, and what it accepts it accepts again', () => {
    let seed = 1
    const random = (n: number) => (seed = (seed * 48_271) % 2_147_483_647) % n
    const values = ['null', '-1', '1e999', '""', '[]', '{}', 'true', '"\\ud800"', '9007199254740993', '[[0,0]]', '{"owner":"sender","kind":"screen"}']
    let accepted = 0
    for (let i = 0; i < 30_000; i++) {
      let text = JSON.stringify(valid[random(valid.length)])
      for (let n = random(3); n > 0; n--) {
        const at = random(text.length)
        text = [
          () => text.slice(0, at) + String.fromCharCode(random(0x250)) + text.slice(at + 1),
          () => text.slice(0, at) + text.slice(at + 1 + random(8)),
          () => text.replace(/:("[^"]*"|\d+)/, () => `:${values[random(values.length)]}`),
        ][random(3)]!()
      }
      if (code(text) !== 'accepted') continue
      accepted++
      const message = decode(text)!
      expect(decode(JSON.stringify(message))).toEqual(message)
    }
    expect(accepted).toBeGreaterThan(5_000)
  })
})

test.each([
  ['report.pdf', 'report.pdf'], ['../../etc/passwd', 'passwd'], ['C:\\Users\\x\\a.txt', 'a.txt'], ['.bashrc', 'bashrc'], ['', 'file'], ['...', 'file'],
  ['a\u202Egnp.exe', 'agnp.exe'], ['x\u0000y\n.txt', 'xy.txt'], ['<img src=x onerror=alert(1)>', '_img src=x onerror=alert(1)_'], ['Übersicht 2026 – 日本.xlsx', 'Übersicht 2026 – 日本.xlsx'],
])('fileName(%j) is %j', (name, want) => {
  expect(fileName(name)).toBe(want)
})

test('the type of a file is one', () => {
  const mime = (m: string) => (decode(JSON.stringify({ ...valid[4], mime: m })) as { mime: string }).mime
  expect([mime('image/svg+xml'), mime('text/html; charset=x'), mime('')]).toEqual(['image/svg+xml', 'application/octet-stream', 'application/octet-stream'])
})

test('docs/SHARING.md has each message and each code', () => {
  const text = readFileSync(new URL('../../../docs/SHARING.md', import.meta.url), 'utf8')
  const examples = [...text.matchAll(/```json\n([^`]*)```/g)].flatMap(([, block]) => block!.trim().split('\n'))
  for (const example of examples) expect(decode(example), example).toEqual(JSON.parse(example))
  expect(examples.map((example) => decode(example)!.type).sort()).toEqual(valid.map(({ type }) => type).sort())
  for (const code of codes) expect(text).toContain(`\`${code}\``)
})
