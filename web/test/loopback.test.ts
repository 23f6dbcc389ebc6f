import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launch, serve, type Site } from './browser.ts'
import { chromiumPath } from './reference.ts'

const executablePath = chromiumPath()

describe.skipIf(executablePath === undefined)('the feed and its worker in Chromium', () => {
  const errors: string[] = []
  let site: Site
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    site = await serve(fileURLToPath(new URL('./loopback', import.meta.url)), fileURLToPath(new URL('../public', import.meta.url)))
    browser = await launch(executablePath!)
    page = await browser.newPage()
    page.setDefaultTimeout(120_000)
    page.on('pageerror', (error) => errors.push(String(error)))
    await page.goto(site.url)
    await page.waitForFunction(() => 'loopback' in window)
  })

  afterAll(async () => {
    await browser?.close()
    await site?.close()
  })

  test('the channel is transferred to the worker, and the clock is found over it', async () => {
    const offset = await page.evaluate(() => window.loopback.connect())
    expect(await page.evaluate(() => window.loopback.transferred())).toBe(true)
    expect(Math.abs(offset.micros - 3_000_000)).toBeLessThanOrEqual(offset.error + 200) // two threads' origins differ
    expect(await page.evaluate(() => window.loopback.liveness)).toEqual(['live'])
  })

  test('later than right after it was made, no channel can be transferred', async () => {
    expect(await page.evaluate(() => window.loopback.late())).toBe('DataCloneError')
  })

  test('frames are scored in the worker and looked at by the page', async () => {
    const first = await page.evaluate(() => window.loopback.send(20, 16))
    expect(first.names).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((i) => `m-${i}/temperature`))
    expect(first.events + 16 * first.lost).toBe(320)
    expect(first.values.length).toBe(8)
    expect(first.drawn).toBe(8)
    const { latency, scored, series } = await page.evaluate(() => window.loopback.stats())
    expect({ scored, series }).toEqual({ scored: 8, series: 8 })
    expect(latency.total.count).toBe(first.events)
    expect(latency.gateway).toMatchObject({ p50: 500, max: 500 })
    expect(latency.total.p50).toBeGreaterThanOrEqual(500)
  })

  test('a busy page does not delay them: its thread has no part in it', async () => {
    const { total, scored } = await page.evaluate(() => window.loopback.busy(4_000))
    expect(scored).toBe(8)
    // Through the page's thread it would be all of 4 s.
    expect(total).toBeLessThan(3_500_000)
  })

  test('what is not valid does no harm', async () => {
    expect(await page.evaluate(() => window.loopback.garbage())).toMatchObject({ invalid: 2 })
    const { events, lost } = await page.evaluate(() => window.loopback.send(5, 8))
    expect(events + 8 * lost).toBe(40)
  })

  test('a gateway that falls silent is lost within 5 s, and a new connection goes on with the same detectors', async () => {
    const start = performance.now()
    await page.evaluate(() => window.loopback.end())
    await page.evaluate(() => window.loopback.until('lost'))
    const seconds = (performance.now() - start) / 1000
    console.log(`lost after ${seconds.toFixed(1)} s`)
    await page.evaluate(() => window.loopback.connect())
    await page.evaluate(() => window.loopback.until('live'))
    const { names, events, lost } = await page.evaluate(() => window.loopback.send(5, 8))
    expect(names).toEqual([])
    expect(events + 8 * lost).toBe(40)
    expect(await page.evaluate(() => window.loopback.stats())).toMatchObject({ series: 8, scored: 8 })
    expect((await page.evaluate(() => window.loopback.liveness)).join(' ')).toMatch(/stale lost (waiting )?live$/)
  })

  test('closing it rejects what is open', async () => {
    expect(await page.evaluate(() => window.loopback.closed())).toEqual(['the live path was closed', 'the live path was closed', 'the live path was closed'])
    expect(errors).toEqual([])
  })
})
