import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launch, serve, type Site } from './browser.ts'
import { chromiumPath, reference } from './reference.ts'

const executablePath = chromiumPath()

describe.skipIf(executablePath === undefined)('the worker in Chromium', () => {
  const errors: string[] = []
  let site: Site
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    site = await serve(fileURLToPath(new URL('./page', import.meta.url)), fileURLToPath(new URL('../public', import.meta.url)))
    browser = await launch(executablePath!)
    page = await browser.newPage()
    page.setDefaultTimeout(120_000)
    page.on('pageerror', (error) => errors.push(String(error)))
    await page.goto(site.url)
    await page.waitForFunction(() => 'page' in window)
  })

  afterAll(async () => {
    await browser?.close()
    await site?.close()
  })

  test('loads the module', async () => {
    const ready = await page.evaluate(() => window.page.ready())
    expect(ready).toMatchObject({ slots: 256, machines: 32 })
    expect(ready.threshold).toBeGreaterThan(0)
  })

  test('gives the scores and states of native Go', async () => {
    const { series, digest } = reference()
    const got: string[] = []
    for (const s of series) {
      const base64 = (array: BigInt64Array | Float64Array) => Buffer.from(array.buffer).toString('base64')
      got.push(...await page.evaluate(
        ([name, sensors, times, values]) => window.page.digest(name, sensors, times, values),
        [s.name, s.sensors, base64(s.times), base64(s.values)] as const,
      ))
    }
    expect(got).toEqual(digest)
    const counters = await page.evaluate(() => window.page.counters())
    expect(counters).toMatchObject({
      series: series.length,
      samples: series.reduce((sum, s) => sum + s.times.length, 0),
      blocks: digest.length,
      failures: 0,
    })
  })

  test('works while the page goes on', async () => {
    const { perSecond, anomalies, ticks } = await page.evaluate((n) => window.page.bench(n), Number(process.env['BENCH_SAMPLES'] ?? 20_000_000))
    console.log(`${(perSecond / 1e6).toFixed(1)} million samples a second in ${browser.version()}`)
    expect(anomalies).toBeGreaterThan(0)
    expect(ticks).toBeGreaterThan(0)
  })

  test('says what went wrong', async () => {
    const failure = (kind: Parameters<typeof window.page.failure>[0]) => page.evaluate((k) => window.page.failure(k), kind)
    expect(await failure('no module')).toMatch(/^load: .*404/)
    expect(await failure('not a module')).toMatch(/^load: /)
    expect(await failure('unknown series')).toBe('unknown: unknown series nobody')
    expect(await failure('corrupt state')).toMatch(/^state: .*length/)
    expect(errors).toEqual([])
  })
})
