/** `npm run test:timescale` where TimescaleDB cannot be had: it must never pass for a run that tested. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { projectRoot } from '../storage/project-root.ts'

const EXIT_UNAVAILABLE = 69
const EXIT_INTERRUPTED = 130

describe('the run on TimescaleDB', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fleetflow-runner-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  /** @param path Where programs are looked for. */
  function run(path: string) {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL('dist/test/timescale/run.js', projectRoot))],
      {
        env: { PATH: path, TMPDIR: folder },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text))
    const ended = once(child, 'close').then(([code]) => ({ code, output }))
    return { child, ended }
  }

  /** A debootstrap that does as the script says; the folder to be filled is its fourth argument. */
  async function standIn(script: string): Promise<string> {
    await writeFile(join(folder, 'debootstrap'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    return `${folder}:${process.env.PATH}`
  }

  it('ends with a code of its own and says what is missing', async () => {
    // Enough to clean up with.
    await symlink('/bin/rm', join(folder, 'rm'))
    const { code, output } = await run(folder).ended
    expect(output).toContain('not tested, TimescaleDB cannot be had here')
    expect(output).toContain(process.getuid?.() === 0 ? 'debootstrap is not installed' : 'need root')
    expect(code).toBe(EXIT_UNAVAILABLE)
  })

  it('shows what debootstrap says when it fails, and leaves nothing behind', async (context) => {
    if (process.getuid?.() !== 0) return context.skip()
    const path = await standIn('touch "$4/half"; echo "E: no such mirror"; exit 1')
    const { code, output } = await run(path).ended
    expect(output).toContain('debootstrap ended with 1:\nE: no such mirror')
    expect(code).toBe(EXIT_UNAVAILABLE)
    expect(await readdir(folder)).toEqual(['debootstrap'])
  })

  it('leaves nothing behind when it is interrupted', async (context) => {
    if (process.getuid?.() !== 0) return context.skip()
    const path = await standIn(
      `touch "$4/half"; trap 'exit 1' TERM; kill -TERM $PPID; while :; do sleep 0.1; done`,
    )
    const { code } = await run(path).ended
    expect(code).toBe(EXIT_INTERRUPTED)
    expect(await readdir(folder)).toEqual(['debootstrap'])
  })
})
