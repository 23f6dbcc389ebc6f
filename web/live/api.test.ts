import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Login, readConfig } from './api.ts'

interface Call {
  path: string
  authorization: string | undefined
  body: unknown
}

let calls: Call[] = []

/** The API: responses by path, one after the other. */
function api(responses: Record<string, (object | number | [number, object])[]>): void {
  vi.stubGlobal('fetch', async (url: URL, init: RequestInit) => {
    const headers = (init.headers ?? {}) as Record<string, string>
    const path = url.pathname + url.search
    calls.push({ path, authorization: headers['Authorization'], body: init.body === undefined ? undefined : JSON.parse(init.body as string) })
    const next = responses[path]?.shift()
    if (next === undefined) throw new TypeError('Failed to fetch')
    const [status, body] = typeof next === 'number' ? [next, undefined] : Array.isArray(next) ? next : [200, next]
    return new Response(body === undefined ? null : JSON.stringify(body), { status })
  })
}

beforeEach(() => {
  calls = []
  vi.stubGlobal('document', { baseURI: 'http://localhost:8080/live/' })
})
afterEach(() => void vi.unstubAllGlobals())

const pair = (n: number) => ({ access_token: `access-${n}`, refresh_token: `ihr_${n}` })

describe('the login', () => {
  test('reads all pages of sites, and renews the token when it has expired', async () => {
    api({
      '/v1/login': [pair(1)], '/v1/refresh': [pair(2)],
      '/v1/sites': [401, { items: [{ name: 'a', title: 'A' }, { title: 'no name' }], next_cursor: 'x/y' }],
      '/v1/sites?cursor=x%2Fy': [{ items: [{ name: 'b' }] }],
    })
    const login = await Login.begin('', 'ada', 'secret')
    expect(await login.sites()).toEqual([{ name: 'a', title: 'A' }, { name: 'b', title: '' }])
    expect(calls.map(({ path, authorization }) => [path, authorization])).toEqual([
      ['/v1/login', undefined], ['/v1/sites', 'Bearer access-1'], ['/v1/refresh', undefined],
      ['/v1/sites', 'Bearer access-2'], ['/v1/sites?cursor=x%2Fy', 'Bearer access-2'],
    ])
    expect(calls[2]!.body).toEqual({ refresh_token: 'ihr_1' })
    // No token is ever part of a URL.
    expect(calls.map(({ path }) => path).join()).not.toMatch(/access-|ihr_/)
  })

  test('those who renew at the same time share one exchange, as a refresh token is valid once', async () => {
    api({ '/v1/login': [pair(1)], '/v1/refresh': [pair(2), pair(3)] })
    const login = await Login.begin('', 'ada', 'secret')
    expect(await Promise.all([login.token(true), login.token(true), login.token(false)])).toEqual(['access-2', 'access-2', 'access-1'])
    expect(await login.token(true)).toBe('access-3')
    expect(calls.map(({ body }) => (body as { refresh_token?: string }).refresh_token)).toEqual([undefined, 'ihr_1', 'ihr_2'])
  })

  test('says what is wrong in words', async () => {
    api({ '/v1/login': [[401, { detail: 'The name or the password is wrong.' }], [429, { message: 'Too Many Requests' }], 503, { access_token: 7 }] })
    const begin = () => Login.begin('', 'ada', 'secret')
    await expect(begin()).rejects.toMatchObject({ status: 401, message: 'The name or the password is wrong.' })
    await expect(begin()).rejects.toMatchObject({ status: 429, message: 'Too Many Requests' })
    await expect(begin()).rejects.toMatchObject({ status: 503, message: '/v1/login: status 503' })
    await expect(begin()).rejects.toThrow('/v1/login: the response has no tokens')
    await expect(begin()).rejects.toMatchObject({ status: 0, message: expect.stringContaining('the server cannot be reached') })
  })

  test('ending it forgets the tokens first', async () => {
    api({ '/v1/login': [pair(1)], '/v1/logout': [204] })
    const login = await Login.begin('', 'ada', 'secret')
    await login.end()
    expect(calls.at(-1)).toMatchObject({ path: '/v1/logout', body: { refresh_token: 'ihr_1' } })
    expect(await login.token(false)).toBe('')
  })

  test('the configuration', async () => {
    api({ '/live/config.json': [{ signaling: 'wss://s/v1/signaling', api: 'https://api' }, { signaling: 'ws://s' }, {}] })
    expect(await readConfig()).toEqual({ signaling: 'wss://s/v1/signaling', api: 'https://api' })
    expect(await readConfig()).toEqual({ signaling: 'ws://s', api: '' })
    await expect(readConfig()).rejects.toThrow('no member "signaling"')
  })
})
