import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launch, serve, type Site } from './browser.ts'
import { chromiumPath } from './reference.ts'
import type { Scenarios } from './rtc/page.ts'

const executablePath = chromiumPath()

describe.skipIf(executablePath === undefined)('peers in Chromium', () => {
  const errors: string[] = []
  let site: Site
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    site = await serve(fileURLToPath(new URL('./rtc', import.meta.url)))
    browser = await launch(executablePath!)
    page = await browser.newPage()
    page.setDefaultTimeout(120_000)
    page.on('pageerror', (error) => errors.push(String(error)))
    await page.goto(site.url)
    await page.waitForFunction(() => 'rtc' in window)
  })

  afterAll(async () => {
    await browser?.close()
    await site?.close()
    expect(errors).toEqual([])
  })

  const run = <K extends keyof Scenarios>(name: K, ...args: Parameters<Scenarios[K]>): ReturnType<Scenarios[K]> =>
    page.evaluate(([n, a]) => (window.rtc[n] as (...args: unknown[]) => Promise<unknown>)(...a), [name, args] as const) as ReturnType<Scenarios[K]>

  test('connect with ICE servers of their own, and say bye', async () => {
    expect(await run('connect')).toEqual({
      got: 'hello', states: ['closed', 'closed'], ice: [1, 1], errors: [], firstServers: ['u1'], bye: 'bye', left: [0, 0],
    })
  })

  test('settle when both offer at once', async () => {
    const result = await run('glare', 8)
    expect(result).toMatchObject({ got: 'still here', impolite: [0, 0], errors: [], transceivers: [16, 16], directions: ['recvonly', 'sendonly'] })
    expect(result.rollbacks).toBeGreaterThan(0)
    expect(result.ignored).toBeGreaterThan(0)
  })

  test('keep candidates that overtake their description, and drop those of an old generation', async () => {
    const { kept, late, dropped, ...rest } = await run('generations')
    expect(kept).toBeGreaterThanOrEqual(2)
    expect(late).toBeGreaterThan(1)
    expect(dropped).toBeGreaterThanOrEqual(late)
    expect(rest).toEqual({ got: 'on', errors: [], ice: [2, 2] })
  })

  test('restart ICE from both sides at once, with new credentials and the channel kept', async () => {
    expect(await run('restarts')).toEqual({ got: ['x', 'y'], channel: 'open', fresh: true, username: true, errors: [] })
  })

  test.each([['offer', 'repeat'], ['answer', 'repeat'], ['offer', 'timer'], ['answer', 'timer']] as const)('repeat a lost %s (%s)', async (what, again) => {
    const { offers, ...rest } = await run('lost', what, again)
    expect(rest).toEqual({ got: 'found', errors: [] })
    expect(offers).toBeGreaterThan(1)
  })

  test('have several connections, started from either side', async () => {
    expect(await run('several')).toEqual({ got: ['1', '2', '3'], after: '4', states: ['connected', 'connected'], peers: [2, 2] })
  })

  test('reject malformed descriptions and candidates with a code, and go on', async () => {
    const result = await run('malformed')
    expect(result).toMatchObject({ got: ['whole', 'still'], states: ['connected', 'connected'], rejected: ['unknown'], a: [] })
    expect([...new Set(result.errors)].sort()).toEqual(['invalid_candidate', 'invalid_sdp'])
  })

  test('end when their peer has left the room', async () => {
    // The channel of a closed page is closed at once, its connection only missed.
    expect(await run('dead')).toEqual(['channel closed', 'interrupted', 'closed access_ended'])
  })

  test('find Chromium as docs/LIVE.md has it', async () => {
    expect(await run('facts')).toEqual({
      unknownGeneration: 'accepted', used: true, pastGeneration: 'accepted', pastUsed: false, beforeDescription: 'InvalidStateError', end: 'accepted', got: 'replaced', withoutTrack: [], inactive: ['mute'],
    })
  })

  test('end when the other side rejects them', async () => {
    expect(await run('rejected')).toEqual({ reason: 'rejected', peers: 0 })
  })
})
